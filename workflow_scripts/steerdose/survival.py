"""How long steered trajectories can still answer: lifetimes read at forks, and Kaplan-Meier estimates of them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from lifelines import KaplanMeierFitter
from lifelines.utils import restricted_mean_survival_time
from scipy.special import betaincinv, expit, logit
from scipy.stats import t as student_t

from .errors import SteerdoseError
from .tables import KEYS

COHORT = KEYS[:-1]  # the trajectories of one curve differ in their prompt only
# lifelines multiplies through logarithms: 4 of 8 alive comes out as 0.5 + 1e-16, and its median is then never reached.
DECIMALS = 12


def set_thresholds(
    audit: dict[str, dict[str, Any]], probes: Sequence[str], kind: str, value: float
) -> dict[str, dict[str, float]]:
    """Return of each probe `threshold`, the pmass under which a fork counts as dead, and `median_pmass`.

    audit: by probe, with the unsteered model's `median_pmass`. kind `relative`: value times that median; `absolute`:
    the value itself, refused where the median does not reach it.
    """
    thresholds = {}
    for name in probes:
        median = audit[name]["median_pmass"]
        threshold = value * median if kind == "relative" else value
        if median < threshold:
            raise SteerdoseError(
                f"survival.threshold is {threshold}, but the unsteered model's median pmass on the probe {name} is "
                f"{median:.4f}, so it would count as dead: lower it, make it relative (kind: relative, value: 0.75), "
                "or read another probe"
            )
        thresholds[name] = {"threshold": threshold, "median_pmass": median}
    return thresholds


def lifetimes(forks: pl.DataFrame, trajectories: pl.DataFrame, threshold: float, window: int) -> pl.DataFrame:
    """Return one row a trajectory: its keys, duration (tokens), died, ended (end-of-turn before the window), damage.

    forks: keys, reading, t, pmass, of one probe. trajectories: keys, n_tokens, ended. A trajectory dies at its first
    fork (t <= window) that the steered model reads with pmass < threshold, and stays dead. Otherwise it is censored: at
    n_tokens if it ended, at the window if it did not. damage says what broke: `readout` where the unsteered model can
    answer behind the same tokens (pmass >= threshold), `text` where it cannot; null while alive, and where it was not
    asked.

    Raises SteerdoseError for a window below 1, a pmass that is not finite, a trajectory without any fork, and forks of
    several probes.
    """
    if window < 1:
        raise SteerdoseError(f"window: expected at least 1 token, found {window}; raise it in the config")
    broken = forks.filter(pl.col("pmass").is_null() | ~pl.col("pmass").is_finite())
    if not broken.is_empty():
        raise SteerdoseError(
            f"forks: expected a finite pmass everywhere, found {broken.height} that are not, the first "
            f"{broken['pmass'][0]} at {_place(broken)}, t {broken['t'][0]}; rerun that rollout and read its log"
        )
    steered, unsteered = (forks.filter(reading=reading) for reading in ("steered", "unsteered"))
    if steered.select(*KEYS, "t").is_duplicated().any():
        raise SteerdoseError(
            "forks: expected the forks of one probe, found several readings of one fork; filter by probe"
        )
    unread = trajectories.join(steered, on=KEYS, how="anti", nulls_equal=True)
    if not unread.is_empty():
        raise SteerdoseError(
            f"forks: expected at least one fork of every trajectory, found none for {unread.height} of "
            f"{trajectories.height}, the first at {_place(unread)}; forks and trajectories must come from one rollout"
        )
    in_window = steered.filter((pl.col("pmass") < threshold) & (pl.col("t") <= window))
    deaths = in_window.group_by(KEYS).agg(pl.col("t").min().alias("death"))
    answers = unsteered.select(*KEYS, pl.col("t").alias("death"), (pl.col("pmass") >= threshold).alias("answers"))
    deaths = deaths.join(answers, on=[*KEYS, "death"], how="left", nulls_equal=True)
    censoring = pl.when("ended").then(pl.min_horizontal("n_tokens", pl.lit(window))).otherwise(window)
    joined = trajectories.join(deaths, on=KEYS, how="left", nulls_equal=True, maintain_order="left")
    return joined.select(
        *KEYS,
        pl.coalesce("death", censoring).cast(pl.Int64).alias("duration"),
        pl.col("death").is_not_null().alias("died"),
        "ended",
        pl.when("answers").then(pl.lit("readout")).when(~pl.col("answers")).then(pl.lit("text")).alias("damage"),
    )


def death_intervals(lifetimes: pl.DataFrame, times: Sequence[int]) -> pl.DataFrame:
    """Return the lifetimes with `after` and `until` (tokens): the trajectory's death lies in (after, until].

    A death is seen at a fork only, so it came after the fork before; at fork 0 it came before any token, and after is
    -1. A censored trajectory was last read alive at its last fork, which is `after`; until is infinite. What it wrote
    between that fork and its end was not read, so its end says nothing about when it died.

    times: the fork grid in tokens. Raises SteerdoseError for a grid that does not increase, or a lifetime off the grid.
    """
    grid = np.asarray(times, dtype=np.int64)
    _check_grid(lifetimes, grid)
    duration, died = lifetimes["duration"].to_numpy(), lifetimes["died"].to_numpy()
    last_fork = np.searchsorted(grid, duration, side="right")  # counted from 1, since -1 stands before the grid
    after = np.concatenate([[-1], grid])[last_fork - died]
    return lifetimes.with_columns(
        pl.Series("after", after, dtype=pl.Float64),
        pl.Series("until", np.where(died, duration, np.inf), dtype=pl.Float64),
    )


def kaplan_meier(
    lifetimes: pl.DataFrame, times: Sequence[int], confidence: float = 0.95
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Estimate S(t), the product over forks u <= t of (1 - events(u) / at_risk(u)), for every method and dose.

    lifetimes: as `lifetimes` returns it. times: the fork grid in tokens; its last element is the window.
    At equal t deaths precede censorings, so a trajectory that ends exactly at a fork was at risk there.

    curve, a row a (cohort, t): the keys of `COHORT`, t, at_risk (duration >= t), events (deaths at t), censored (from t
    on and before the next t; the last row has those at the window), survival, ci_low, ci_high (see `_interval`),
    turnbull_low, turnbull_high (see `_turnbull`: what the data leave open between the fork before and this one).
    summary, a row a cohort: the keys, n, died, censored, s_mid (S at half the window), s_end (S at the window),
    median_t (first t with S <= 0.5; null if there is none), median_low and median_high (the same for ci_low and
    ci_high: Brookmeyer and Crowley's interval), rmst (mean lifetime restricted to the window, tokens), rmst_se,
    rmst_low and rmst_high (see `_restricted_mean`). Past its last observation a curve is carried on.

    Raises SteerdoseError for a grid that does not increase, or a lifetime that does not fit it.
    """
    grid = np.asarray(times, dtype=np.int64)
    _check_grid(lifetimes, grid)
    curves, summaries = [], []
    for _, cohort in lifetimes.sort(COHORT).group_by(COHORT, maintain_order=True):
        keys = cohort.select(COHORT).head(1)
        duration, died = cohort["duration"].to_numpy(), cohort["died"].to_numpy()
        fit = KaplanMeierFitter(alpha=1 - confidence).fit(duration, died)
        curve = _curve(fit, duration, died, grid, confidence)
        curves.append(keys.join(curve, how="cross"))
        rmst = float(restricted_mean_survival_time(fit, t=int(grid[-1])))
        summaries.append(keys.join(_summary(curve, rmst, confidence), how="cross"))
    return pl.concat(curves), pl.concat(summaries)


def _place(rows: pl.DataFrame) -> str:
    """Name the trajectory of the first row."""
    row = rows.row(0, named=True)
    return f"method {row['method']}, prompt {row['prompt_id']}, alpha {row['alpha']}"


def _check_grid(lifetimes: pl.DataFrame, grid: np.ndarray) -> None:
    if lifetimes.is_empty():
        raise SteerdoseError("lifetimes: expected at least one trajectory, found none; check the rollout's prompts")
    if grid.size == 0 or np.any(np.diff(grid) <= 0):
        raise SteerdoseError(f"times: expected a fork grid that increases up to the window, found {grid.tolist()}")
    between_forks = pl.col("died") & ~pl.col("duration").is_in(grid.tolist())
    misfits = lifetimes.filter(between_forks | ~pl.col("duration").is_between(int(grid[0]), int(grid[-1])))
    if not misfits.is_empty():
        raise SteerdoseError(
            f"times: expected deaths at forks and censorings from {grid[0]} to {grid[-1]}, found {misfits.height} "
            f"other lifetimes, the first of {misfits['duration'][0]} tokens at {_place(misfits)}; pass its fork grid"
        )


def _curve(
    fit: KaplanMeierFitter, duration: np.ndarray, died: np.ndarray, grid: np.ndarray, confidence: float
) -> pl.DataFrame:
    """Read a fitted estimate at the forks. duration, died: (trajectories,). grid: (times,)."""
    row = np.searchsorted(fit.survival_function_.index, grid, side="right") - 1  # S is constant between its steps
    at_risk = (duration[:, None] >= grid).sum(axis=0)
    events = (died[:, None] & (duration[:, None] == grid)).sum(axis=0)
    bin_of_censoring = np.searchsorted(grid, duration[~died], side="right") - 1
    survival = fit.survival_function_.to_numpy()[row, 0].round(DECIMALS)
    uncensored = grid <= duration[~died].min(initial=grid[-1])
    low, high = _interval(at_risk, events, survival, uncensored, fit.confidence_interval_.to_numpy()[row], confidence)
    turnbull_low, turnbull_high = _turnbull(at_risk, survival)
    return pl.DataFrame(
        {
            "t": grid,
            "at_risk": at_risk,
            "events": events,
            "censored": np.bincount(bin_of_censoring, minlength=grid.size),
            "survival": survival,
            "ci_low": low,
            "ci_high": high,
            "turnbull_low": turnbull_low,
            "turnbull_high": turnbull_high,
        }
    )


def _interval(
    at_risk: np.ndarray,
    events: np.ndarray,
    survival: np.ndarray,
    uncensored: np.ndarray,
    log_log: np.ndarray,
    confidence: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of S at each fork; every argument is (times,), log_log (times, 2) holds lifelines' bounds.

    The log-log interval collapses to a point at S = 1 and S = 0, so Clopper-Pearson's k alive of n replaces it:
    * nothing censored before t (`uncensored`): S is a plain fraction; n is the cohort, k those alive after t.
    * S = 1: k = n = at_risk(t), those that were seen to be alive at t; with nobody left the interval is [0, 1].
    * S = 0: k = 0, n = at_risk at the last death, where the estimate fell to 0. A few survivors of a long decline make
      that n small, and S cannot rise, so the upper bound stays at or below the one before the fall.
    """
    low, high = log_log[:, 0].copy(), log_log[:, 1].copy()
    for i, value in enumerate(survival):
        if uncensored[i]:
            low[i], high[i] = _clopper_pearson(at_risk[i] - events[i], at_risk[0], confidence)
        elif value == 1:
            low[i], high[i] = _clopper_pearson(at_risk[i], at_risk[i], confidence)
        elif value == 0:
            last = np.flatnonzero(survival == 0)[0]
            low[i], high[i] = _clopper_pearson(0, at_risk[last], confidence)
            high[i] = min(high[i], high[last - 1])
    return low, high


def _turnbull(at_risk: np.ndarray, survival: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of Turnbull's (1976) estimate of S at each fork and on the tokens since the fork before it, (times,) each.

    It is the nonparametric maximum likelihood estimate from intervals (after, until], see `death_intervals`. Their ends
    are the same forks for all trajectories, so it has one probability a gap between forks and, being a life table,
    equals Kaplan-Meier at the forks. It differs in two places, where the data leave S open:
    * between two forks S is anywhere from turnbull_high, its value at the fork before (the deaths came late), to
      turnbull_low, its value at this fork (they came at once); Kaplan-Meier takes the late end.
    * where nobody is left at risk, all of those who ended alive may have died since: turnbull_low is 0 and
      turnbull_high the last value. Kaplan-Meier carries that value on.

    So no fit is needed. The EM of lifelines' `fit_interval_censoring` gives the same (see the tests), but it can
    circle about the maximum without meeting its stopping rule and then runs for seconds a cohort.
    """
    return np.where(at_risk > 0, survival, 0.0), np.concatenate([[1.0], survival[:-1]])


def _clopper_pearson(alive: int, n: int, confidence: float) -> tuple[float, float]:
    """Return the exact bounds of a share of which `alive` of n were counted, as quantiles of beta distributions."""
    dead, tail = n - alive, (1 - confidence) / 2
    low = betaincinv(alive, dead + 1, tail) if alive else 0.0
    high = betaincinv(alive + 1, dead, 1 - tail) if dead else 1.0
    return float(low), float(high)


def _restricted_mean(curve: pl.DataFrame, rmst: float, confidence: float) -> dict[str, float | None]:
    """Return rmst, its standard error rmst_se, and the interval rmst_low to rmst_high, in tokens.

    The variance is Greenwood's for an area: the sum over forks t of events / (at_risk (at_risk - events)), each times
    the squared area under S from t to the window (Klein and Moeschberger, 2nd ed., 4.5.2). Without censoring it is the
    variance of the restricted lifetimes (divisor n) over n.

    The interval is symmetric for logit(rmst / window), with the t quantile of n - 1 degrees of freedom. Lifetimes on
    log-spaced forks are skewed, and rmst +- 1.96 rmst_se of 12 trajectories held the true value in as few as 0.83 of
    simulated cohorts (exponential lifetimes, with and without censoring), this one in 0.89 to 0.98.

    Where S is 1 all along, or falls from 1 to 0 at one fork, this variance is 0 and claims certainty from a few
    trajectories: rmst_se is then null, and the interval is the area under ci_low to the area under ci_high.
    """
    t, survival = curve["t"].to_numpy(), curve["survival"].to_numpy()
    at_risk, events = curve["at_risk"].to_numpy(), curve["events"].to_numpy()
    steps = np.diff(t)
    area_after = np.concatenate([np.cumsum((survival[:-1] * steps)[::-1])[::-1], [0.0]])
    falls = (events > 0) & (events < at_risk)  # where all at risk die no area is left
    at_risk, events = at_risk[falls], events[falls]
    se = math.sqrt((area_after[falls] ** 2 * events / (at_risk * (at_risk - events))).sum())
    if se > 0:
        window = float(t[-1])
        half = student_t.ppf((1 + confidence) / 2, curve["at_risk"][0] - 1) * se * window / (rmst * (window - rmst))
        low, high = window * expit(logit(rmst / window) + np.array([-half, half]))
        return {"rmst": rmst, "rmst_se": se, "rmst_low": float(low), "rmst_high": float(high)}
    low, high = (float(t[0] + (curve[bound].to_numpy()[:-1] * steps).sum()) for bound in ("ci_low", "ci_high"))
    return {"rmst": rmst, "rmst_se": None, "rmst_low": low, "rmst_high": high}


def _summary(curve: pl.DataFrame, rmst: float, confidence: float) -> pl.DataFrame:
    """One row: the columns of `kaplan_meier`'s summary without keys."""
    window = curve["t"][-1]
    half = pl.col("t") <= window / 2
    first_below_half = [
        pl.col("t").filter(pl.col(bound) <= 0.5).min().alias(name)
        for bound, name in (("survival", "median_t"), ("ci_low", "median_low"), ("ci_high", "median_high"))
    ]
    return curve.select(
        pl.col("at_risk").first().alias("n"),
        pl.col("events").sum().alias("died"),
        pl.col("censored").sum(),
        pl.coalesce(pl.col("survival").filter(half).last(), 1.0).alias("s_mid"),
        pl.col("survival").last().alias("s_end"),
        *first_below_half,
        *[pl.lit(v, pl.Float64).alias(name) for name, v in _restricted_mean(curve, rmst, confidence).items()],
    )
