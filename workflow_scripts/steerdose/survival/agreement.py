"""How far the endpoints agree: which trajectories both call dead, and which of them does so first."""

from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from steerdose.columns import CELL, KEYS
from steerdose.seeds import seed_from

RESAMPLES = 2000
ALL = "all methods"
COUNTS = ("n", "both", "only_a", "only_b", "neither")
KAPPA = ("kappa", "kappa_low", "kappa_high")
ORDER = ("a_first", "same_time", "b_first")
AGREEMENT: dict[str, type[pl.DataType]] = {
    **{
        "model": pl.String,
        "behavior": pl.String,
        "seed": pl.Int64,
        "method": pl.String,
        "a": pl.String,
        "b": pl.String,
    },
    **{name: pl.Float64 if name in KAPPA else pl.Int64 for name in (*COUNTS, *KAPPA, *ORDER)},
}


def agreement(lives: pl.DataFrame, confidence: float) -> pl.DataFrame:
    """Return how far pairs of endpoints agree on the steered trajectories, over all doses.

    lives: as `lifetimes` returns them, the deciding endpoint first. A row a method for the deciding endpoint with each
    other one, and under the name `ALL` every pair over all methods of the cell: a, b, n, both, only_a, only_b, neither,
    kappa (Cohen 1960), kappa_low, kappa_high (percentiles of a bootstrap that resamples prompts with all their
    trajectories; null where kappa is), a_first, same_time, b_first among both.
    """
    steered = lives.filter(pl.col("alpha") != 0)
    names = steered["endpoint"].unique(maintain_order=True).to_list()
    rows = []
    for keys, cell in steered.group_by(CELL, maintain_order=True):
        place = dict(zip(CELL, keys, strict=True))
        for (method,), part in cell.group_by("method", maintain_order=True):
            rows += [place | {"method": method} | _agreement(part, names[0], b, confidence) for b in names[1:]]
        rows += [place | {"method": ALL} | _agreement(cell, a, b, confidence) for a, b in combinations(names, 2)]
    return pl.DataFrame(rows, schema=AGREEMENT).filter(pl.col("n") > 0)


def _agreement(lives: pl.DataFrame, a: str, b: str, confidence: float) -> dict[str, Any]:
    """Compare two endpoints on the trajectories for which both are defined."""
    other = lives.filter(endpoint=b).select(*KEYS, "died", "duration")
    pair = lives.filter(endpoint=a).join(other, on=KEYS, nulls_equal=True, suffix="_b").sort(KEYS)
    occurs = [pair[name].to_numpy() for name in ("died", "died_b")]
    outcome = 2 * occurs[0] + occurs[1]  # 3 both, 2 only a, 1 only b, 0 neither
    prompts, prompt = np.unique(pair["prompt_id"].to_numpy(), return_inverse=True)
    counts = np.zeros((len(prompts), 4))
    np.add.at(counts, (prompt, outcome), 1)
    total = counts.sum(0)
    kappa = float(cohen_kappa(total))
    low, high = _kappa_interval(counts, confidence) if np.isfinite(kappa) else (None, None)
    lead = pair.filter(pl.col("died") & pl.col("died_b")).select(pl.col("duration_b") - pl.col("duration")).to_series()
    return {
        "a": a,
        "b": b,
        "n": len(pair),
        **dict(zip(COUNTS[1:], total[::-1].astype(int).tolist(), strict=True)),
        **dict(zip(KAPPA, (kappa if np.isfinite(kappa) else None, low, high), strict=True)),
        **dict(zip(ORDER, (int(each.sum()) for each in (lead > 0, lead == 0, lead < 0)), strict=True)),
    }


def cohen_kappa(counts: np.ndarray) -> np.ndarray:
    """Return (p_o - p_e) / (1 - p_e) of tables (..., 4) that count neither, only b, only a, both.

    p_o is the share of equal verdicts, p_e what independent verdicts of the same frequencies would give (Cohen 1960).
    NaN where one of the two never or always occurs.
    """
    neither, only_b, only_a, both = np.moveaxis(np.asarray(counts, dtype=float), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        n = neither + only_b + only_a + both
        a, b = (only_a + both) / n, (only_b + both) / n
        expected = a * b + (1 - a) * (1 - b)
        kappa = ((neither + both) / n - expected) / (1 - expected)
    varies = (a > 0) & (a < 1) & (b > 0) & (b < 1)
    return np.where(varies, kappa, np.nan)


def _kappa_interval(counts: np.ndarray, confidence: float) -> tuple[float | None, float | None]:
    """Resample prompts. counts: (prompts, 4). Resamples in which kappa is not defined are left out."""
    n = len(counts)
    generator = np.random.default_rng(seed_from("agreement"))
    resampled = cohen_kappa(generator.multinomial(n, np.full(n, 1 / n), size=RESAMPLES) @ counts)
    resampled = resampled[np.isfinite(resampled)]
    if n == 1 or not len(resampled):
        return None, None
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
