"""Lifetimes at several doses, from how many die at each."""

import polars as pl
from steerdose.survival.dose_response import dose_response
from steerdose.survival.kaplan_meier import estimate_survival

GRID = [0, 1, 4, 16, 64]
DOSES = (0.25, 0.5, 1.0, 2.0, 4.0)


def cohort(dead, n=12, alphas=DOSES, method="lora", c_star=1.5):
    """Lifetimes of n prompts at each alpha, the first dead[i] of which die at 4 tokens; beside them alpha 0."""
    rows = []
    for alpha, count in [(0.0, 0), *zip(alphas, dead, strict=True)]:
        key = {"model": "m", "behavior": "b", "seed": 0, "method": method, "alpha": alpha}
        key["coefficient"] = None if c_star is None and alpha else alpha * (c_star or 1)
        rows += [
            key
            | {
                "prompt_id": f"p{i:03}",
                "sample": 0,
                "duration": 4 if i < count else 64,
                "died": i < count,
                "ended": False,
            }
            for i in range(n)
        ]
    return pl.DataFrame(rows)


def exact(lives):
    """The doses of these methods, whose c_star has no known error."""
    rows = lives.select("model", "behavior", "seed", "method").unique(maintain_order=True)
    bounds = dict.fromkeys(("c_star_low", "c_star_high", "relative_dose"), pl.lit(None, pl.Float64))
    signs = pl.DataFrame({"sign": ["positive", "negative"]})
    return rows.join(signs, how="cross").with_columns(c_star=pl.lit(1.5), **bounds)


def respond(lives, confidence=0.95, safe_level=0.5):
    curve = estimate_survival(lives, GRID, confidence)[0]
    return dose_response(curve, lives, exact(lives), confidence=confidence, safe_level=safe_level)
