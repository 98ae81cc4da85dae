"""The KL of a trajectory on its way: against its own beginning, and since it was last seen alive."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from steerdose.dose.kl_statistics import STATISTICS, statistics_along
from steerdose.errors import SteerdoseError


def normalised_kl(tokens: pl.DataFrame, n: int) -> pl.DataFrame:
    """Return tokens with a column `normalised`: KL over the p95 of that trajectory's first n tokens; no unit.

    tokens: line (a number of its trajectory), t (from 1), kl (nats), one row a token; order, other columns and other
    trajectories do not matter, and rows keep their order. The p95 interpolates linearly, as in `kl_statistics`, and is
    of the raw KL: smooth a curve after this, never before, since a mean over neighbours reaches behind the n tokens and
    flattens spikes.

    Null where there is no scale: a trajectory of fewer than n tokens, or whose p95 is 0, as all are at alpha 0.

    Raises SteerdoseError for n below 1.
    """
    if n < 1:
        raise SteerdoseError(f"n: expected at least 1 token to take the p95 of, found {n}; raise it in the config")
    p95 = pl.col("kl").cast(pl.Float64).quantile(0.95, "linear")
    head = tokens.filter(pl.col("t") <= n).group_by("line").agg(p95.alias("scale"), pl.len().alias("length"))
    scales = head.filter((pl.col("length") == n) & (pl.col("scale") > 0)).drop("length")
    joined = tokens.join(scales, on="line", how="left", maintain_order="left")
    return joined.with_columns((pl.col("kl") / pl.col("scale")).alias("normalised")).drop("scale")


def kl_measures(
    histories: Sequence[np.ndarray], prefixes: Sequence[np.ndarray], statistic: str, n: int
) -> dict[str, np.ndarray]:
    """Return measures of KL before each fork, (all forks of the first trajectory, of the second, ...).

    histories: KL by token (nats), (tokens,) each. prefixes: the forks t of each in order. statistic: of STATISTICS.

    kl: the statistic over tokens 1 to t (nats), as a monitor would read it that watches what set the dose.
    peak and level: maximum and median of the KL since the fork before t, over the p95 of the first n tokens up to that
    fork. They are the ends of a scale: one token lifts the peak, only half of the tokens lift the level.

    NaN where there are no tokens to measure: for kl at t = 0, for peak and level also at the first fork behind it (no
    tokens before) and where the p95 is 0.
    """
    kl = padded(histories)
    gaps = [(row, *gap) for row, forks in enumerate(prefixes) for gap in pairwise([0, *forks.tolist()])]
    row, start, stop = np.array(gaps, dtype=np.int64).reshape(-1, 3).T
    found = np.full((3, len(gaps)), np.nan)
    for before, t in sorted({gap[1:] for gap in gaps}):  # few: trajectories share their forks
        here = (start == before) & (stop == t)
        history = kl[row[here]]
        if t:
            found[0, here] = statistics_along(history[:, :t])[STATISTICS.index(statistic)]
        if 0 < before < t:
            scale = np.percentile(history[:, : min(n, before)], 95, axis=1)
            gap = history[:, before:t]
            ends = np.stack([gap.max(axis=1), np.median(gap, axis=1)])
            found[1:, here] = np.divide(ends, scale, out=np.full_like(ends, np.nan), where=scale > 0)
    return dict(zip(("kl", "peak", "level"), found, strict=True))


def padded(histories: Sequence[np.ndarray]) -> np.ndarray:
    """Return histories of several lengths as one array, (trajectories, longest), NaN behind the end of each."""
    array = np.full((len(histories), max(map(len, histories), default=0)), np.nan)
    for row, history in zip(array, histories, strict=True):
        row[: len(history)] = history
    return array
