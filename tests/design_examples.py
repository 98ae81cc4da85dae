"""Methods whose lethal dose is known: each prompt has a dose from which its text breaks, drawn log-normal."""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from steerdose.design.place import Known, next_dose
from steerdose.survival.dose_response import dose_response
from steerdose.survival.kaplan_meier import estimate_survival

CELL = {"model": "m", "behavior": "b", "seed": 0, "method": "drawn"}
WINDOW, N = 8, 24
DOSES = pl.DataFrame([{**CELL, "sign": "positive", "c_star_low": 0.95, "c_star_high": 1.05}])


@dataclass(frozen=True)
class Simulated:
    """thresholds: (prompts,), the dose from which each text breaks. ld50: the median of where they are drawn from."""

    thresholds: np.ndarray
    ld50: float

    @classmethod
    def drawn(cls, draw: int, spread: float) -> "Simulated":
        """spread: standard deviation of the log of the thresholds."""
        generator = np.random.default_rng([draw, int(1000 * spread)])
        middle = generator.uniform(math.log(0.4), math.log(5))
        return cls(np.exp(middle + spread * generator.normal(size=N)), math.exp(middle))

    def known(self, doses) -> Known:
        """Return what the project's own estimators say of the lethal dose."""
        rows = [
            {**CELL, "alpha": float(dose), "coefficient": float(dose), "prompt_id": str(i), "sample": 0,
             "duration": 1 if threshold < dose else WINDOW, "died": bool(threshold < dose), "ended": False}
            for dose in (0.0, *doses)
            for i, threshold in enumerate(self.thresholds)
        ]  # fmt: skip
        lives = pl.DataFrame(rows)
        curve, _ = estimate_survival(lives, [0, 1, WINDOW], 0.95)
        shares, lethal = dose_response(curve, lives, DOSES, confidence=0.95, safe_level=0.5)
        dead = dict(shares.filter(pl.col("alpha") > 0).select("dose", "dead").iter_rows())
        row = lethal.row(0, named=True)
        return Known(dead, row["ld50_low"], row["ld50_high"])

    def designed(self, most: int, **bounds) -> tuple[list[float], Known]:
        """Return the doses that are placed, in their order, and what they say."""
        doses, known = [], Known({}, None, None)
        while len(doses) < most and (dose := next_dose(known, **bounds)) is not None:
            doses.append(dose)
            known = self.known(doses)
        return doses, known
