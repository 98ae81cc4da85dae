"""What is known of calibrated doses, for what is estimated from rollouts at multiples of them."""

from collections.abc import Mapping
from typing import Any

import polars as pl
from scipy.stats import norm

from steerdose.columns import METHOD, SIGNS, Cell

CONFIDENCE = 0.95  # of the interval of c_star


def log_errors(doses: pl.DataFrame) -> dict[tuple[Any, ...], float]:
    """Return the standard error of ln c_star by method keys and sign, half the width of its interval in normal units.

    doses: as the table of doses. 0 where the interval is not known.
    """
    width = (pl.col("c_star_high") / pl.col("c_star_low")).log() / (2 * norm.ppf((1 + CONFIDENCE) / 2))
    found = doses.select(*METHOD, "sign", width.fill_null(0.0).alias("error"))
    return {row[:-1]: row[-1] for row in found.iter_rows()}


def doses_table(reports: Mapping[str, Mapping[str, Any]], cell: Cell) -> pl.DataFrame:
    """Return a row a method and sign of the reports of a job; none of a prompt, which has no dose."""
    names = ("c_star", "c_star_low", "c_star_high", "relative_dose")
    rows = [
        {"method": method, "sign": sign, **{name: report[sign][name] for name in names}}
        for method, report in reports.items()
        for sign in SIGNS
        if report[sign]["c_star"] is not None
    ]
    types = {"method": pl.String, "sign": pl.String, **dict.fromkeys(names, pl.Float64)}
    return pl.DataFrame(rows, schema=types).with_columns(cell.columns())
