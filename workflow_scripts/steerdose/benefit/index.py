"""Where the effect sets in, and how far that is from where texts break: ED50, minimal effective dose, index, margin.

The therapeutic index is LD50 / ED50, the margin the safe dose over the minimal effective one. Both are ratios of doses
of one steering, so that an error of its calibration cancels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy.optimize import isotonic_regression

from steerdose.benefit.effects import Sums, resampled, split
from steerdose.survival.lethal_dose import LETHAL, dose_of, enough_prompts, lethal_draws, outer_bounds

HALF = 0.5  # of the largest effect that survives


@dataclass(frozen=True)
class Curve:
    """Effect by dose of one method and sign, toward the sign's side: above 0 is what was intended.

    dose: (doses,), rising, without 0. effect: (1 + draws, doses), the first row as estimated. survives: (doses,),
    whether at most half of the texts break at it. q: (doses,), of no effect, corrected. halves: (2, splits, doses),
    the effect on one half of the items and on the other.
    """

    dose: np.ndarray
    effect: np.ndarray
    survives: np.ndarray
    q: np.ndarray
    halves: np.ndarray

    def bounds(self, confidence: float) -> np.ndarray:
        """Return the interval of the effect at each dose, (2, doses)."""
        tail = (1 - confidence) / 2
        return np.quantile(self.effect[1:], [tail, 1 - tail], axis=0)

    def effective(self, confidence: float) -> np.ndarray:
        """Whether each dose shows an effect, (doses,): its interval is above 0 and its q small, and half survive."""
        return (self.bounds(confidence)[0] > 0) & (self.q <= 1 - confidence) & self.survives


def curve_of(doses: Mapping[float, Sums], sign: float, dead: Mapping[float, float], q: Mapping[float, float]) -> Curve:
    """Return the curve of one sign. doses: the sums of each dose by its size. dead: share by size, fitted."""
    sizes = sorted(doses)
    n = doses[sizes[0]].n_clusters

    def effect(weights: np.ndarray) -> np.ndarray:
        return np.stack([sign * doses[size].estimates(weights)["effect"] for size in sizes], axis=1)

    survives = np.array([dead[size] <= LETHAL for size in sizes])
    halves = np.stack([effect(weights) for weights in split(n)])
    return Curve(np.array(sizes), effect(resampled(n)), survives, np.array([q[size] for size in sizes]), halves)


def half_doses(curve: Curve) -> np.ndarray:
    """Return the dose of half the largest surviving effect, (1 + draws,); NaN where no surviving dose has an effect.

    The effect rises from 0 at dose 0 to that largest one, isotonic and straight between doses; what it does beyond, at
    doses that gain no more or break most texts, does not count.
    """
    return np.array([_half(curve.dose[curve.survives], each[curve.survives]) for each in curve.effect])


def _half(dose: np.ndarray, effect: np.ndarray) -> float:
    if not effect.size or not np.nanmax(effect, initial=-np.inf) > 0:
        return float("nan")
    top = int(np.nanargmax(effect))
    rising = isotonic_regression(np.r_[0.0, effect[: top + 1]]).x.clip(0)
    x = np.r_[0.0, dose[: top + 1]]
    wanted = HALF * rising[-1]
    after = int(np.argmax(rising >= wanted))
    low, high = rising[after - 1], rising[after]
    return float(x[after - 1] + (wanted - low) / (high - low) * (x[after] - x[after - 1]))


def rising_effect(curve: Curve) -> np.ndarray:
    """Return the isotonic effect at 0 and each dose up to that of the largest surviving effect; NaN beyond it."""
    found = np.full(curve.dose.size + 1, np.nan)
    kept = np.flatnonzero(curve.survives)
    if kept.size and np.nanmax(curve.effect[0][kept]) > 0:
        top = kept[int(np.nanargmax(curve.effect[0][kept]))]
        found[: top + 2] = isotonic_regression(np.r_[0.0, curve.effect[0][: top + 1]]).x
    return found


def index_of(
    curve: Curve, lives: pl.DataFrame, lethal: dict[str, Any], confidence: float
) -> dict[str, float | str | None]:
    """Return ed50, minimal_dose, index and margin with their intervals.

    lives: lifetimes of the method and sign. lethal: its row of the table of doses. All are null where no dose shows an
    effect. Where the LD50 is above all doses the index has a lower bound alone, and no number.
    """
    names = ("ed50", "ed50_low", "ed50_high", "minimal_dose", "index", "index_low", "index_high", "margin")
    row: dict[str, float | str | None] = dict.fromkeys(names)
    effective = curve.effective(confidence)
    if not effective.any():
        return row
    half = np.log(half_doses(curve))
    unknown = np.isnan(half[1:])  # a resample without any effect: its ED50 may be anywhere
    low, high = outer_bounds(np.where(unknown, -np.inf, half[1:]), np.where(unknown, np.inf, half[1:]), confidence)
    minimal = float(curve.dose[effective][0])
    row |= {"ed50": float(np.exp(half[0])), "ed50_low": dose_of(low), "ed50_high": dose_of(high)}
    row |= {"minimal_dose": minimal, "margin": lethal["safe_dose"] and lethal["safe_dose"] / minimal}
    row["index"] = lethal["ld50"] and lethal["ld50"] / row["ed50"]
    if lethal["n_prompts"] >= enough_prompts(confidence):
        deadly_low, deadly_high = lethal_draws(lives, lethal)
        low, high = outer_bounds(
            deadly_low - np.where(unknown, np.inf, half[1:]),
            deadly_high - np.where(unknown, -np.inf, half[1:]),
            confidence,
        )
        row |= {"index_low": dose_of(low), "index_high": dose_of(high)}
    return row


def recommended(curve: Curve, safe_dose: float | None, confidence: float) -> int | None:
    """Return the place of the dose to recommend; None where no dose that shows an effect is safe.

    Of the doses that show an effect and are not above the safe dose, the one whose effect has the highest lower bound.
    """
    allowed = curve.effective(confidence) & (curve.dose <= (safe_dose or 0.0))
    if not allowed.any():
        return None
    return int(np.argmax(np.where(allowed, curve.bounds(confidence)[0], -np.inf)))


def heldout_effect(curve: Curve, safe_dose: float | None, confidence: float) -> float | None:
    """Return what the dose that one half of the items picks does on the other half, the mean over splits.

    The recommended dose is picked on the items that its effect is of, so that effect is flattered; this one is not. A
    half picks, of the doses that are safe, the one with the highest lower bound; its intervals are sqrt(2) wider.
    """
    allowed = curve.survives & (curve.dose <= (safe_dose or 0.0))
    picking, other = curve.halves
    known = np.isfinite(curve.halves[:, :, allowed]).all((0, 2)) if allowed.any() else np.zeros(1, dtype=bool)
    if not known.any():
        return None
    margin = np.sqrt(2) * (curve.effect[0] - curve.bounds(confidence)[0])
    picked = np.argmax(np.where(allowed, picking - margin, -np.inf), axis=1)
    return float(np.take_along_axis(other, picked[:, None], axis=1)[known].mean())
