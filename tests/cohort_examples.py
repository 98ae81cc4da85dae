"""Lifetimes of one cohort, from durations and deaths."""

import polars as pl

GRID = [0, 1, 2, 3, 5, 8, 13, 23, 38, 64, 128]
CELL = {"model": "m", "behavior": "b", "seed": 0, "method": "lora", "alpha": 2.0, "coefficient": 2.4}


def key(prompt, **changes):
    return CELL | {"prompt_id": f"p{prompt}", "sample": 0} | changes


def cohort(observations, **changes):
    """Lifetimes from (duration, died) pairs."""
    rows = [key(i, **changes) | {"duration": d, "died": dead} for i, (d, dead) in enumerate(observations)]
    return pl.DataFrame(rows).with_columns(ended=~pl.col("died") & (pl.col("duration") < GRID[-1]))
