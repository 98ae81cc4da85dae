"""The lethal dose: where the share dead crosses one half, and how sure that is, from resampled prompts."""

from typing import Any

import numpy as np
import polars as pl
from scipy.optimize import isotonic_regression

from steerdose.columns import METHOD
from steerdose.errors import SteerdoseError
from steerdose.seeds import seed_from
from steerdose.survival.lifetimes import DECIMALS

CURVE = (*METHOD, "sign")
LETHAL = 0.5  # the share dead at the LD50
RESAMPLES = 1000


def crossing(x: np.ndarray, fitted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the bracket's lower end, the crossing of `LETHAL` and the bracket's upper end, (curves,) each.

    x: (doses,), rising. fitted: (curves, doses), never falling. Beyond the ends of x: -inf and inf.
    """
    last = x.size - 1
    below, above = (fitted < LETHAL).sum(axis=1), (fitted <= LETHAL).sum(axis=1)  # doses under, and up to, one half
    padded = np.r_[-np.inf, x, np.inf]
    low, high = padded[below], padded[above + 1]
    left, right = np.clip(below - 1, 0, last), np.clip(above, 0, last)
    rows = np.arange(len(fitted))
    rise = fitted[rows, right] - fitted[rows, left]
    way = (LETHAL - fitted[rows, left]) / np.where(rise > 0, rise, 1)
    found = np.where(np.isinf(low), low, np.where(np.isinf(high), high, x[left] + way * (x[right] - x[left])))
    flat = (x[np.clip(below, 0, last)] + x[np.clip(above - 1, 0, last)]) / 2
    return low, np.where(above > below, flat, found), high


def dose_of(log_dose: float) -> float | None:
    """Return the dose; None for one outside those tried, whose logarithm is infinite."""
    return float(np.exp(log_dose)) if np.isfinite(log_dose) else None


def lethal_interval(
    lives: pl.DataFrame, row: dict[str, Any], confidence: float, log_error: float
) -> tuple[float | None, float | None]:
    """Return the interval of a row of `lethal_doses`, see `dose_response`; lives: lifetimes of its method and sign.

    log_error: standard error of ln c_star. It is drawn with the prompts, since a dose is only known as a multiple of an
    estimated coefficient.
    """
    if row["n_prompts"] < enough_prompts(confidence):
        return None, None
    low, high = lethal_draws(lives, row)
    drawn = log_error * np.random.default_rng(seed_from("calibration", *(row[name] for name in CURVE))).normal(
        size=RESAMPLES
    )
    lower, upper = outer_bounds(low + drawn, high + drawn, confidence)
    return dose_of(lower), dose_of(upper)


def lethal_draws(lives: pl.DataFrame, row: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the ln of the lethal dose in resamples of prompts, (`RESAMPLES`,), widened downwards and upwards.

    Widened to the doses between which the estimate lies, see `dose_response`; infinite where that is open.
    """
    dose, dead = _grid(lives)
    dead = (resampled_prompts(dead.shape[1]) @ dead.T / dead.shape[1]).round(DECIMALS)
    distinct, which = np.unique(dead, axis=0, return_inverse=True)
    fitted = np.stack([isotonic_regression(each).x for each in distinct]).round(DECIMALS)
    found = crossing(np.log(dose), fitted)[1][which]
    low = -np.inf if row["bracket_low"] is None else np.log(row["bracket_low"])
    high = np.inf if row["bracket_high"] is None else np.log(row["bracket_high"])
    return np.minimum(found, low), np.maximum(found, high)


def outer_bounds(low: np.ndarray, high: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the lower percentile of `low` and the upper one of `high`, (draws,) each; draws may be infinite."""
    tail = (1 - confidence) / 2 * (len(low) - 1)
    return float(np.sort(low)[int(np.floor(tail))]), float(np.sort(high)[int(np.ceil(len(high) - 1 - tail))])


def enough_prompts(confidence: float) -> int:
    """Return the fewest prompts of which none dead excludes one half from the exact (Clopper-Pearson) interval."""
    return int(np.floor(np.log((1 - confidence) / 2) / np.log(LETHAL))) + 1


def resampled_prompts(n: int) -> np.ndarray:
    """Return how often each of n prompts is drawn in each resample, (`RESAMPLES`, n)."""
    generator = np.random.default_rng(seed_from("dose_response", n))
    return generator.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(float)


def _grid(lives: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return doses (doses,), and the share of each prompt's trajectories that died (doses, prompts), of one sign."""
    ordered = lives.with_columns(dose=pl.col("alpha").abs()).sort("dose", "prompt_id", "sample")
    doses = ordered.partition_by("dose", maintain_order=True)
    places = [each.select("prompt_id", "sample").rows() for each in doses]
    if any(each != places[0] for each in places):
        raise SteerdoseError(
            f"lifetimes: expected the same prompts at every dose of method {lives['method'][0]}, found "
            f"{sorted({each.height for each in doses})} trajectories a dose; rerun its rollout"
        )
    died = ordered.group_by("dose", "prompt_id", maintain_order=True).agg(pl.col("died").mean())["died"]
    return ordered["dose"].unique(maintain_order=True).to_numpy(), died.to_numpy().reshape(len(doses), -1)
