"""Surgical informedness, the number by which the research programme ranks methods, in its exact definition.

It is reported to be compared with published tables, not to be trusted. It is multiplied by the square of pmass, so that
the negative score of a model which no longer answers is pulled toward 0 and looks better than a sound one's; it counts
flips whatever their size; and where labels are not balanced, a lean to yes scores as the behavior.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

PENALTY = 2  # broken rows count so many times


def one_way(before: np.ndarray, after: np.ndarray) -> float:
    """Return the share of wrong rows that are mended less `PENALTY` times the share of right ones that are broken.

    before, after: (rows,), log-odds toward the behavior. NaN where there are no wrong or no right rows.
    """
    wrong, right = before < 0, before > 0
    if not wrong.any() or not right.any():
        return float("nan")
    return float((after[wrong] > 0).mean() - PENALTY * (after[right] < 0).mean())


def surgical_informedness(rows: pl.DataFrame, alpha: float, pmass: Mapping[float, float | None]) -> float | None:
    """Return SI at a dose above 0, -200 to 100: the mean of both directions times the smaller pmass squared, times 100.

    rows: item, form, label, alpha, y, y_0 of one method with two answers. pmass: mean by alpha. Where the opposite dose
    was not asked the forward direction stands alone. The direction back mends what steering away from the behavior is
    to flip: right rows that turn wrong, less the penalty for wrong ones that turn right.
    """
    signed = rows.with_columns(pl.col("y", "y_0") * pl.col("label"))
    up, down = (signed.filter(alpha=each) for each in (alpha, -alpha))
    parts = [one_way(up["y_0"].to_numpy(), up["y"].to_numpy())]
    masses = [pmass.get(alpha)]
    if not down.is_empty():
        parts.append(one_way(-down["y_0"].to_numpy(), -down["y"].to_numpy()))
        masses.append(pmass.get(-alpha))
    known = [part for part in parts if np.isfinite(part)]
    if not known or None in masses:
        return None
    return float(np.mean(known) * min(mass for mass in masses if mass is not None) ** 2 * 100)
