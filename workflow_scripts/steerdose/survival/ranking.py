"""Which methods bear more? Only what holds in resamples of prompts, seeds and calibrations together is an order.

A list that is sorted by an estimate is always sorted, also where chance did it. So methods stand in groups: all of one
group bear more than all of the next, and nothing is said within a group.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy.optimize import isotonic_regression

from steerdose.columns import KEYS, has_dose, sign_of_alpha
from steerdose.dose.doses import log_errors
from steerdose.errors import SteerdoseError
from steerdose.seeds import seed_from
from steerdose.survival.lethal_dose import crossing, dose_of
from steerdose.survival.lifetimes import DECIMALS

RESAMPLES = 1000
SCALES = ("alpha", "delivered_kl")
PLACE = ("model", "behavior", "sign")


@dataclass(frozen=True)
class Grid:
    """One sign of one method.

    dose: (doses,), rising. died, kl: (seeds, doses, prompts), the share of texts that died, and the median p95 of
    their KL. errors: (seeds,), of ln c_star.
    """

    method: str
    dose: np.ndarray
    died: np.ndarray
    kl: np.ndarray
    errors: np.ndarray


def ranking(lives: pl.DataFrame, p95: pl.DataFrame, doses: pl.DataFrame, confidence: float) -> pl.DataFrame:
    """Return a row a model, behavior, sign, scale and method: where half are dead, and the method's group.

    lives: lifetimes of one endpoint. p95: keys, and p95 of the KL of each trajectory's tokens (nats); null without a
    token. doses: c_star of every method and sign with its interval. All seeds of a method count together.

    ld50: on the scale alpha the lethal dose; on delivered_kl the median p95 of the trajectories at that dose, between
    doses straight in both logs: there no calibration enters. low, high: percentiles over joint resamples; null: open.
    group: 1 bears the most. support: the share of joint resamples in which all of these groups hold at once, at least
    (1 + confidence) / 2, since the order was not given beforehand: chance alone makes groups of two equal methods in
    1 - confidence of studies.
    """
    steered = lives.filter(pl.col("alpha") != 0).join(p95, on=KEYS, how="left", nulls_equal=True)
    steered = steered.filter(has_dose()).with_columns(sign_of_alpha(), pl.col("alpha").abs().alias("dose"))
    errors, rows = log_errors(doses), []
    for place, part in steered.group_by(*PLACE, maintain_order=True):
        grids = [_grid(part.filter(method=name), errors) for name in part["method"].unique(maintain_order=True)]
        here = dict(zip(PLACE, place, strict=True))
        for scale, found in _resampled(grids).items():
            rows += [here | {"scale": scale, **row} for row in _rows(grids, found, confidence)]
    texts = dict.fromkeys((*PLACE, "scale", "method"), pl.String)
    types = {**texts, **dict.fromkeys(("seeds", "n_prompts"), pl.Int64), "ld50": pl.Float64, "status": pl.String}
    numbers = dict.fromkeys(("ld50_low", "ld50_high", "support"), pl.Float64)
    order = (*texts, "seeds", "n_prompts", "group", "ld50", "ld50_low", "ld50_high", "status", "support")
    return pl.DataFrame(rows, schema={**types, **numbers, "group": pl.Int64}).select(order)


def _grid(lives: pl.DataFrame, errors: Mapping[tuple[Any, ...], float]) -> Grid:
    order = ("seed", "dose", "prompt_id")
    each = lives.group_by(order).agg(pl.mean("died"), pl.median("p95")).sort(order)
    sizes = [each[name].n_unique() for name in order]
    if each.height != np.prod(sizes):
        raise SteerdoseError(
            f"lifetimes: expected the same prompts at every dose and seed of method {lives['method'][0]}, found "
            f"{each.height} of {np.prod(sizes)}; rerun its rollouts"
        )
    died, kl = (each[name].cast(pl.Float64).fill_null(np.nan).to_numpy().reshape(sizes) for name in ("died", "p95"))
    keys = lives.select("model", "behavior", "seed", "method", "sign").unique().sort("seed")
    dose = each["dose"].unique().sort().to_numpy()
    return Grid(str(lives["method"][0]), dose, died, kl, np.array([errors[row] for row in keys.iter_rows()]))


def _resampled(grids: Sequence[Grid]) -> dict[str, np.ndarray]:
    """Return by scale the ln of the lethal dose of every method, (1 + RESAMPLES, methods); the first as estimated.

    Prompts are shared by all methods and seeds, and seeds by all methods, whose answers come of the same pairs. The
    error of c_star is drawn for each method and seed by itself: methods that were calibrated on the same prompts err
    together in part, so their differences are known better than this says.
    """
    n_seeds, _, n_prompts = grids[0].died.shape
    if any(grid.died.shape[::2] != (n_seeds, n_prompts) for grid in grids):
        raise SteerdoseError("lifetimes: expected the same seeds and prompts for every method; rerun its rollouts")
    generator = np.random.default_rng(seed_from("ranking", n_seeds, n_prompts, *(grid.method for grid in grids)))
    prompts = np.vstack([np.arange(n_prompts), generator.integers(0, n_prompts, (RESAMPLES, n_prompts))])
    seeds = np.vstack([np.arange(n_seeds), generator.integers(0, n_seeds, (RESAMPLES, n_seeds))])
    found: dict[str, list[np.ndarray]] = {scale: [] for scale in SCALES}
    for grid in grids:
        drawn = grid.died[seeds[:, :, None, None], np.arange(len(grid.dose))[:, None], prompts[:, None, None, :]]
        shares = drawn.mean(axis=(1, 3)).round(DECIMALS)
        fitted = np.stack([isotonic_regression(share).x for share in shares]).round(DECIMALS)
        log_ld50 = crossing(np.log(grid.dose), fitted)[1]
        noise = generator.normal(size=seeds.shape) * grid.errors[seeds]
        noise[0] = 0
        found["alpha"].append(log_ld50 + noise.mean(axis=1))
        kl = grid.kl[seeds[:, :, None, None], np.arange(len(grid.dose))[:, None], prompts[:, None, None, :]]
        medians = np.nanmedian(kl.swapaxes(1, 2).reshape(*shares.shape, -1), axis=-1)
        found["delivered_kl"].append(_delivered(log_ld50, np.log(grid.dose), medians))
    return {scale: np.stack(columns, axis=1) for scale, columns in found.items()}


def _delivered(log_ld50: np.ndarray, log_dose: np.ndarray, medians: np.ndarray) -> np.ndarray:
    """Return ln of the delivered KL at each lethal dose, (resamples,); medians: (resamples, doses), nats."""
    inside = np.isfinite(log_ld50)
    logs = np.log(np.maximum(medians, np.finfo(float).tiny))
    found = [np.interp(x, log_dose, y) for x, y in zip(np.where(inside, log_ld50, log_dose[0]), logs, strict=True)]
    return np.where(inside, found, log_ld50)


def _rows(grids: Sequence[Grid], found: np.ndarray, confidence: float) -> list[dict[str, Any]]:
    """Return the rows of one scale, the method that bears most first."""
    estimate, resamples = found[0], found[1:]
    order = np.argsort(-estimate, kind="stable")
    group, support = groups(estimate[order], resamples[:, order], (1 + confidence) / 2)
    tail = (1 - confidence) / 2 * (RESAMPLES - 1)
    ranked = np.sort(resamples, axis=0)
    low, high = ranked[int(np.floor(tail))], ranked[int(np.ceil(RESAMPLES - 1 - tail))]
    outside = {-np.inf: "below", np.inf: "above"}
    return [
        {
            "method": grids[i].method,
            "seeds": grids[i].died.shape[0],
            "n_prompts": grids[i].died.shape[2],
            "group": int(group[place]),
            "ld50": dose_of(estimate[i]),
            "ld50_low": dose_of(low[i]),
            "ld50_high": dose_of(high[i]),
            "status": outside.get(float(estimate[i]), "inside"),
            "support": support,
        }
        for place, i in enumerate(order)
    ]


def groups(estimate: np.ndarray, resamples: np.ndarray, level: float) -> tuple[np.ndarray, float]:
    """Return the group of each method, and the share of resamples in which the groups hold.

    estimate: (methods,), falling; resamples: (resamples, methods). A cut holds in a resample where every method before
    it has more than every method behind it. Cuts are taken in the order of their own share while all of them together
    hold in `level` of the resamples.
    """
    n = len(estimate)
    cuts = [resamples[:, :i].min(1) > resamples[:, i:].max(1) for i in range(1, n)]
    taken: list[int] = []
    together = np.ones(len(resamples), dtype=bool)
    for cut in sorted(range(n - 1), key=lambda i: -cuts[i].mean()):
        if (together & cuts[cut]).mean() >= level:
            together &= cuts[cut]
            taken.append(cut)
    group = 1 + np.array([sum(cut < place for cut in taken) for place in range(n)])
    return group, float(together.mean())
