"""Tables of doses to draw."""

import numpy as np
import polars as pl
from dose_examples import GRID, cohort, exact
from figure_examples import ALONE, MEMBERS
from steerdose.survival.dose_response import dose_response
from steerdose.survival.kaplan_meier import estimate_survival

ALPHAS = (-4.0, -2.0, -1.0, -0.5, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
PROMPTS = [cohort([3, 5], alphas=(-1.0, 1.0), method=name, c_star=None) for name in ("simple", "engineered")]


def response(*lives):
    """`dose_response` of cohorts in the order given."""
    curve = pl.concat([estimate_survival(each, GRID)[0] for each in lives])
    lives = pl.concat(lives)
    return dose_response(curve, lives, exact(lives), confidence=0.95, safe_level=0.5)


def methods(count, alphas):
    """Cohorts that die at rising doses, the last methods never."""
    magnitudes = np.abs(alphas)
    return [
        cohort(np.clip(12 * (magnitudes - 0.4 * i), 0, 12).astype(int).tolist(), alphas=alphas, method=f"method_{i}")
        for i in range(count)
    ]


SIZES = {
    "one": methods(1, (1.0,)),
    "prompts": [*methods(3, (-1.0, 0.5, 1.0, 2.0)), *PROMPTS],
    "twelve": methods(12, ALPHAS),
    "nobody_dies": [cohort([0, 0, 0], alphas=(-1.0, 1.0, 2.0)), *PROMPTS],
    "no_dose": [cohort([], alphas=())],
}


def many():
    """The tables of two entries of 60 members that differ in how much they bear, beside `ALONE` and prompts."""
    alphas = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
    kinds = {dead: cohort([dead, dead // 2, 0, 0, dead // 2, dead], alphas=alphas) for dead in range(13)}
    kinds = {dead: response(lives) for dead, lives in kinds.items()}
    parts = [(name, kinds[12]) for name in ALONE]
    parts += [(name, kinds[i * 5 % 13]) for names in MEMBERS.values() for i, name in enumerate(names)]
    parts = [[frame.with_columns(method=pl.lit(name)) for frame in pair] for name, pair in parts]
    return [pl.concat(frames, how="vertical_relaxed") for frames in zip(*parts, strict=True)]
