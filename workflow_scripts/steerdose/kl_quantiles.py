"""What the KL figures draw instead of millions of tokens: quantiles of pooled tokens, and a sample of thinned lines."""

from collections.abc import Sequence
from math import ceil

import numpy as np
import polars as pl

from .kl_history import normalised_kl
from .tables import KEYS, read_table

COHORT = KEYS[:-1]
TOKENS = [*KEYS, "t", "kl"]  # the columns of a table of tokens that are read
QUANTILES = {"p10": 0.1, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9}
MOST_LINES = 100  # of one dose
MOST_BINS = 128  # along t, of a line


def even_edges(window: int, most: int) -> list[int]:
    """Return the edges of at most `most` bins of equal whole width (tokens) from 0 to at least the window."""
    width = ceil(window / most)
    return list(range(0, window + width, width))


def kl_quantiles(
    tokens: pl.DataFrame, lifetimes: pl.DataFrame, edges: Sequence[int], value: str = "kl"
) -> pl.DataFrame:
    """Return quantiles of `value` over all trajectories and tokens t of each bin, edges[i] < t <= edges[i + 1].

    tokens: KEYS, t, `value`. lifetimes: KEYS, a row a trajectory, also of those without any token. A row a (cohort,
    bin): the keys but prompt_id, start, stop (edges), p10, p25, p50, p75, p90 (null where there is no value), left (the
    trajectories that have the bin's last token), n (those of the cohort).
    """
    bins = pl.DataFrame({"bin": range(1, len(edges)), "start": edges[:-1], "stop": edges[1:]})
    place = np.searchsorted(edges, tokens["t"], side="left")
    last = tokens["t"].to_numpy() == np.asarray(edges)[place]
    keys = _varying(lifetimes, COHORT)
    binned = tokens.select(*keys, value, bin=pl.Series(place), last=pl.Series(last))
    found = binned.group_by(*keys, "bin").agg(
        *[pl.col(value).quantile(q, "linear").alias(name) for name, q in QUANTILES.items()],
        left=pl.col("last").sum().cast(pl.Int64),
    )
    cohorts = lifetimes.group_by(COHORT, maintain_order=True).agg(n=pl.len().cast(pl.Int64))
    whole = cohorts.join(bins, how="cross", maintain_order="left")
    joined = whole.join(found, on=[*keys, "bin"], how="left", nulls_equal=True, maintain_order="left")
    return joined.select(*COHORT, "start", "stop", *QUANTILES, pl.col("left").fill_null(0), "n")


def _varying(lifetimes: pl.DataFrame, keys: Sequence[str]) -> list[str]:
    """Return the keys that tell rows apart: to group millions of tokens by names that are all equal takes long."""
    return [name for name in keys if lifetimes[name].n_unique() > 1]


def fork_quantiles(forks: pl.DataFrame, probe: str) -> pl.DataFrame:
    """Return quantiles of pmass over the trajectories that are still there at each fork, of one probe.

    forks: KEYS, probe, reading, t, pmass. A row a (cohort, reading, t): p10 to p90 as in `kl_quantiles`, and left.
    """
    quantiles = [pl.col("pmass").quantile(q, "linear").alias(name) for name, q in QUANTILES.items()]
    groups = forks.filter(probe=probe).group_by(*COHORT, "reading", "t", maintain_order=True)
    return groups.agg(*quantiles, left=pl.len().cast(pl.Int64))


def smoothed(tokens: pl.DataFrame, value: str, width: int) -> pl.DataFrame:
    """Return tokens in order of t within each trajectory, `value` replaced by its centred mean over `width` tokens.

    0 changes nothing. Towards its ends a trajectory has fewer neighbours: the mean is over those that there are.
    """
    if width == 0:
        return tokens
    ordered = tokens.sort("t", maintain_order=True)
    mean = pl.col(value).rolling_mean(width, center=True, min_samples=1).over(KEYS)
    return ordered.with_columns(mean.alias(value))


def thinned_lines(
    tokens: pl.DataFrame,
    lifetimes: pl.DataFrame,
    value: str = "kl",
    most_lines: int = MOST_LINES,
    most_bins: int = MOST_BINS,
) -> pl.DataFrame:
    """Return the points of at most `most_lines` trajectories of each cohort: what a panel can show.

    tokens: KEYS, t, `value`. lifetimes: as `survival.lifetimes` returns them. Lines are taken evenly spaced in order of
    their lifetimes, so that the share that dies, and when, is that of the cohort to 1 line. Of each line, each of at
    most `most_bins` bins of tokens keeps its lowest and its highest point (the envelope), and the points at its death
    and at its end stay. Rows: keys, t, `value`, duration, died, ended, shown and n (lines of the cohort), sorted.
    """
    rank = pl.int_range(pl.len()).over(COHORT)
    n = pl.len().over(COHORT).cast(pl.Int64)
    shown = pl.min_horizontal(n, most_lines)
    # Ranks r with floor((r + 1) * shown / n) > floor(r * shown / n): exactly `shown` of them, evenly spaced.
    step = (rank + 1) * shown // n > rank * shown // n
    lives = lifetimes.with_row_index("line").sort("died", "duration", "line")
    chosen = lives.with_columns(shown=shown, n=n).filter(step)
    keys = _varying(lifetimes, KEYS) or [KEYS[-1]]
    joined = tokens.select(*keys, "t", value).drop_nulls(value).join(chosen, on=keys, how="inner", nulls_equal=True)
    joined = joined.sort("line", "t").with_columns(end=pl.col("t") == pl.col("t").max().over("line"))
    edges = even_edges(int(joined["t"].to_numpy().max(initial=1)), most_bins)
    joined = joined.with_columns(bin=pl.Series(np.searchsorted(edges, joined["t"], side="left")))
    extreme = [(pl.col(value) == getattr(pl.col(value), name)()).over("line", "bin") for name in ("min", "max")]
    kept = joined.filter(pl.any_horizontal(*extreme, pl.col("t") == pl.col("duration"), "end"))
    return kept.select(*KEYS, "t", value, "duration", "died", "ended", "shown", "n")


def read_quantiles(tokens: list[str], lifetimes: list[str], edges: Sequence[int]) -> pl.DataFrame:
    """Return `kl_quantiles` of files that belong together, one pair at a time."""
    pairs = zip(tokens, lifetimes, strict=True)
    return pl.concat([kl_quantiles(read_table(t, TOKENS), read_table(life), edges) for t, life in pairs])


def read_lines(
    tokens: list[str], lifetimes: list[str], smoothing: int, head: int | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return `thinned_lines` and the quantiles of files that belong together, one pair at a time.

    head: None for `kl` (nats), or the tokens whose p95 is the scale of `normalised`. smoothing: tokens of the centred
    mean that comes after it.
    """
    value = "normalised" if head else "kl"
    lines, quantiles = [], []
    for path, lives in zip(tokens, lifetimes, strict=True):
        life, table = read_table(lives), read_table(path, TOKENS)
        table = smoothed(normalised_kl(table, head) if head else table, value, smoothing).drop_nulls(value)
        window = int(table["t"].to_numpy().max(initial=1))
        quantiles.append(kl_quantiles(table, life, even_edges(window, 2 * MOST_BINS), value))
        lines.append(thinned_lines(table, life, value))
    return pl.concat(lines), pl.concat(quantiles)
