"""Dose and response: who is dead by the window at which dose; lethal dose, steepness and safe dose of every method.

Every estimate is for one sign of one method, from the doses that were tried; nothing is extrapolated beyond them.
"""

from typing import Any

import numpy as np
import polars as pl
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, log_expit
from scipy.stats import norm

from steerdose.columns import COHORT, METHOD, SIGNS, has_dose, sign_of_alpha
from steerdose.dose.doses import log_errors
from steerdose.survival.lethal_dose import CURVE, LETHAL, crossing, dose_of, enough_prompts, lethal_interval
from steerdose.survival.lifetimes import DECIMALS


def dose_shares(curve: pl.DataFrame) -> pl.DataFrame:
    """Return a row a cohort of `estimate_survival`'s curve: how many are dead by the window.

    Columns: those of `COHORT`, sign (of `sign_of_alpha`), dose (|alpha|), n (trajectories), dead (cumulative incidence
    at the window: of all, since those that ended their turn cannot die any more), dead_low, dead_high (its confidence
    bounds), dead_km (1 - S(window): as if nobody had ended), fitted (isotonic regression of dead on dose within a sign,
    every dose with the same weight; null at alpha 0 and for prompts, which have no dose). Rows keep the order of
    methods and are sorted by alpha.
    """
    bounds = {"dead": "incidence", "dead_low": "incidence_low", "dead_high": "incidence_high"}
    shares = (
        curve.sort("t")
        .group_by(COHORT, maintain_order=True)
        .agg(
            pl.col("at_risk").first().alias("n"),
            *[pl.col(column).last().round(DECIMALS).alias(dead) for dead, column in bounds.items()],
            (1 - pl.col("survival").last()).round(DECIMALS).alias("dead_km"),
        )
        .with_columns(sign_of_alpha(), pl.col("alpha").abs().alias("dose"))
    )
    fits = [
        part.select(*COHORT, pl.Series("fitted", isotonic_regression(part["dead"].to_numpy()).x.round(DECIMALS)))
        for part in _curves(shares)
    ]
    order = curve.select(METHOD).unique(maintain_order=True)
    shares = order.join(shares.sort("alpha"), on=METHOD, maintain_order="left_right")
    if not fits:
        return shares.with_columns(fitted=pl.lit(None, pl.Float64))
    return shares.join(pl.concat(fits), on=COHORT, how="left", maintain_order="left")


def lethal_doses(shares: pl.DataFrame, safe_level: float) -> pl.DataFrame:
    """Return a row a method and sign of `dose_shares`: its keys, the doses, and what follows from the shares alone.

    n_prompts, dose_min, dose_max (tried); ld50 (multiples of c_star): where the fitted curve, straight between doses in
    log dose, is one half; the middle (in log dose) of the doses where it equals one half; null outside the doses tried.
    status: inside, above (fewer than half are dead at dose_max) or below (more are at dose_min). bracket_low,
    bracket_high: the doses next to it that are below and above one half; null where there is none. safe_dose: the
    largest dose at which, and at all smaller ones, 1 - dead_high > safe_level; null if there is none. dead_at_1.

    Where the doses separate the dead from the living (0 of 12, then 12 of 12) the ld50 is the middle of the gap in log
    dose, as Spearman and Karber's is, and a maximum-likelihood fit would not exist.
    """
    rows: list[dict[str, Any]] = []
    for curve in _curves(shares):
        dose, fitted = curve["dose"].to_numpy(), curve["fitted"].to_numpy()
        low, ld50, high = (dose_of(*log_dose) for log_dose in crossing(np.log(dose), fitted[None]))
        safe = dose[np.logical_and.accumulate(1 - curve["dead_high"].to_numpy() > safe_level)]
        reached = "above" if fitted[-1] < LETHAL else "below"
        rows.append(
            {
                **curve.select(CURVE).row(0, named=True),
                "n_prompts": int(curve["n"].max()),  # type: ignore[arg-type]
                "dose_min": float(dose[0]),
                "dose_max": float(dose[-1]),
                "ld50": ld50,
                "status": "inside" if ld50 is not None else reached,
                "bracket_low": low,
                "bracket_high": high,
                "safe_dose": float(safe[-1]) if safe.size else None,
                "dead_at_1": next(iter(curve.filter(dose=1.0)["dead"]), None),
            }
        )
    floats = ("dose_min", "dose_max", "ld50", "bracket_low", "bracket_high", "safe_dose", "dead_at_1")
    keys = shares.select(METHOD).schema | {"sign": pl.String}
    return pl.DataFrame(
        rows, schema={**keys, "n_prompts": pl.Int64, **dict.fromkeys(floats, pl.Float64), "status": pl.String}
    )


def dose_response(
    curve: pl.DataFrame, lifetimes: pl.DataFrame, doses: pl.DataFrame, *, confidence: float, safe_level: float
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return `dose_shares` of the curve, and `lethal_doses` with interval, slope, raw coefficient and a note in words.

    curve, lifetimes: as `estimate_survival` and `lifetimes` give them, of any number of cells and methods. doses:
    c_star of these with its interval, whose error is drawn with the prompts.
    ld50_low, ld50_high: percentiles of the ld50 in a bootstrap over prompts, each with all its doses, since one prompt
    is one cluster; all methods share the same resamples. Where the doses separate, all resamples agree and their spread
    would be 0, though the truth may lie anywhere in the gap: so the interval is widened to the bracket of the estimate.
    A bound outside the doses tried is null: open. So are both with too few prompts: even 0 dead of 5 has 0.52 as its
    exact 95 % bound, so that no dose can be told from the lethal one.
    slope: of `hill_slope`; null where the ld50 is, since a curve seen on one side of it hardly has one.
    ld50_coefficient: the raw coefficient at the ld50. safe_dose_low: the safe dose where c_star's error is against it;
    as a coefficient the safe dose has no such error.

    Raises SteerdoseError where a method's doses have different prompts.
    """
    shares = dose_shares(curve)
    lethal, errors = lethal_doses(shares, safe_level), log_errors(doses)
    rows = []
    lives = lifetimes.filter(pl.col("alpha") != 0).with_columns(sign_of_alpha()).partition_by(CURVE, as_dict=True)
    for row, part in zip(lethal.iter_rows(named=True), _curves(shares), strict=True):
        key = tuple(row[name] for name in CURVE)
        low, high = lethal_interval(lives[key], row, confidence, errors[key])
        against = float(np.exp(-norm.ppf((1 + confidence) / 2) * errors[key]))
        dose, dead = part["dose"].to_numpy(), part["dead"].to_numpy()
        unit = part["coefficient"][-1] / dose[-1]
        rows.append(
            {
                "ld50_low": low,
                "ld50_high": high,
                "slope": None if row["ld50"] is None else hill_slope(dose, dead, part["n"].to_numpy()),
                "ld50_coefficient": row["ld50"] and row["ld50"] * unit,
                "safe_dose_low": row["safe_dose"] and row["safe_dose"] * against,
                "note": _note(row, dead, lives[key], confidence, safe_level),
            }
        )
    floats = dict.fromkeys(("ld50_low", "ld50_high", "slope", "ld50_coefficient", "safe_dose_low"), pl.Float64)
    added = pl.DataFrame(rows, schema={**floats, "note": pl.String})
    order = [*lethal.columns[: lethal.columns.index("ld50") + 1], "ld50_low", "ld50_high", "status", "slope"]
    table = pl.concat([lethal, added], how="horizontal")
    return shares, table.select(*order, "safe_dose", "safe_dose_low", "dead_at_1", "ld50_coefficient", "note")


def hill_slope(dose: np.ndarray, dead: np.ndarray, n: np.ndarray) -> float | None:
    """Return h in logit P(dead) = h (log dose - log ld50), the Hill coefficient; null with one dose, or one outcome.

    dose, dead (shares), n: (doses,). Maximises the binomial likelihood times the root of the information's determinant
    (Firth, Biometrika 80, 1993), which keeps h finite where the doses separate (Heinze and Schemper, Statistics in
    Medicine 21, 2002). With two doses it is that of counts with 1/2 added to each.
    """
    if dose.size < 2 or not 0 < (dead * n).sum() < n.sum():
        return None
    x = np.log(dose)
    unit = float(x.std())
    design = np.stack([np.ones_like(x), (x - x.mean()) / unit], axis=1)

    def loss(beta: np.ndarray) -> float:
        logit = design @ beta
        likelihood = n @ (dead * log_expit(logit) + (1 - dead) * log_expit(-logit))
        information = (design.T * (n * expit(logit) * expit(-logit))) @ design
        return -float(likelihood + np.linalg.slogdet(information)[1] / 2)

    fit = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-9, "maxiter": 4000})
    return float(fit.x[1]) / unit


def dose_text(row: dict[str, Any]) -> str:
    """Return the ld50 of a row of `lethal_doses` in words: a number, or > the largest or < the smallest dose tried."""
    beyond = {"above": f"> {row['dose_max']:.3g}", "below": f"< {row['dose_min']:.3g}"}
    return beyond.get(row["status"]) or f"{row['ld50']:.3g}"


def _curves(shares: pl.DataFrame) -> list[pl.DataFrame]:
    """Return the doses of every method and sign, rising; prompts and alpha 0, the unsteered model, have none."""
    doses = shares.filter(has_dose(), pl.col("alpha") != 0)
    parts = [part for method in doses.partition_by(METHOD, maintain_order=True) for part in _by_sign(method)]
    return [part.sort("dose") for part in parts]


def _by_sign(method: pl.DataFrame) -> list[pl.DataFrame]:
    return [part for sign in SIGNS if not (part := method.filter(sign=sign)).is_empty()]


def _note(row: dict[str, Any], dead: np.ndarray, lives: pl.DataFrame, confidence: float, safe_level: float) -> str:
    notes = []
    n, needed = row["n_prompts"], enough_prompts(confidence)
    if n < needed:
        notes.append(f"{needed} prompts are needed to bound a lethal dose, here {n}")
    if np.any(np.diff(dead) < 0):
        notes.append("at some dose fewer are dead than at a smaller one: the fit pools these")
    if np.all((dead == 0) | (dead == 1)) and 0 < dead.sum() < dead.size:
        notes.append("the doses separate the living from the dead: the slope says only how far apart they are")
    early = lives.group_by("alpha").agg((pl.col("ended") & ~pl.col("died")).sum(), pl.len(), pl.max("duration"))
    for alpha, ended, total, last in early.sort(pl.col("alpha").abs()).iter_rows():
        if ended == total:
            notes.append(f"at {abs(alpha):g} all ended their turn by token {last}, unbroken: no information beyond")
    reachable = ((1 - confidence) / 2) ** (1 / n)
    if reachable <= safe_level:
        notes.append(
            f"no dose can be shown to be safe: {n} prompts without a death bound survival at {reachable:.2f}, "
            f"not above {safe_level:g}"
        )
    return "; ".join(notes)
