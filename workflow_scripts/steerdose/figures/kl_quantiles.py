"""What the KL figures draw instead of millions of tokens: quantiles of pooled tokens, and a sample of thinned lines."""

from collections.abc import Iterator, Sequence
from math import ceil

import numpy as np
import polars as pl

from steerdose.columns import COHORT, KEYS, deciding
from steerdose.declarations.passed import LIFETIMES, TOKENS
from steerdose.files import read_table
from steerdose.outcomes.kl import normalised_kl

QUANTILES = {"p10": 0.1, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9}
MOST_LINES = 100  # of one dose
MOST_BINS = 128  # along t, of a line


def even_edges(window: int, most: int) -> list[int]:
    """Return the edges of at most `most` bins of equal whole width (tokens) from 0 to at least the window."""
    width = ceil(window / most)
    return list(range(0, window + width, width))


def numbered(tokens: pl.DataFrame, lifetimes: pl.DataFrame) -> pl.DataFrame:
    """Return tokens with `line`, the row of their trajectory in `lifetimes`, in place of KEYS, in order of line and t.

    Millions of tokens are grouped by one whole number much sooner than by seven keys. tokens: KEYS, t, more columns, in
    any order. lifetimes: KEYS, a row a trajectory.
    """
    keys = _varying(lifetimes)
    runs = tokens.select(pl.struct(keys).rle().struct.unnest()).unnest("value")
    found = runs.join(lifetimes.with_row_index("line"), on=keys, how="left", nulls_equal=True, maintain_order="left")
    rows = tokens.select(pl.Series("line", np.repeat(found["line"], found["len"])), pl.exclude(KEYS))
    return rows.sort("line", "t")


def _varying(lifetimes: pl.DataFrame) -> list[str]:
    """Return the keys that tell rows apart."""
    return [name for name in KEYS if lifetimes[name].n_unique() > 1] or [KEYS[-1]]


def kl_quantiles(
    tokens: pl.DataFrame, lifetimes: pl.DataFrame, edges: Sequence[int], value: str = "kl"
) -> pl.DataFrame:
    """Return quantiles of `value` over all trajectories and tokens t of each bin, edges[i] < t <= edges[i + 1].

    tokens: `numbered`, with `value`. lifetimes: KEYS, a row a trajectory, also of those without any token. A row a
    (cohort, bin): the keys but prompt_id, start, stop (edges), p10, p25, p50, p75, p90 (null where there is no value),
    left (the trajectories that have the bin's last token), n (those of the cohort).
    """
    cohorts = lifetimes.group_by(COHORT, maintain_order=True).agg(n=pl.len().cast(pl.Int64)).with_row_index("cohort")
    cohort = lifetimes.join(cohorts, on=COHORT, nulls_equal=True, maintain_order="left")["cohort"]
    bins = pl.DataFrame({"bin": range(1, len(edges)), "start": edges[:-1], "stop": edges[1:]})
    place = np.searchsorted(edges, tokens["t"], side="left")
    last = tokens["t"].to_numpy() == np.asarray(edges)[place]
    binned = tokens.select(value, cohort=cohort.gather(tokens["line"]), bin=pl.Series(place), last=pl.Series(last))
    found = binned.group_by("cohort", "bin").agg(
        *[pl.col(value).quantile(q, "linear").alias(name) for name, q in QUANTILES.items()],
        left=pl.col("last").sum().cast(pl.Int64),
    )
    whole = cohorts.join(bins, how="cross", maintain_order="left")
    joined = whole.join(found, on=["cohort", "bin"], how="left", maintain_order="left")
    return joined.select(*COHORT, "start", "stop", *QUANTILES, pl.col("left").fill_null(0), "n")


def fork_quantiles(forks: pl.DataFrame, probe: str) -> pl.DataFrame:
    """Return quantiles of pmass over the trajectories that are still there at each fork, of one probe.

    forks: KEYS, probe, reading, t, pmass. A row a (cohort, reading, t): p10 to p90 as in `kl_quantiles`, and left.
    """
    quantiles = [pl.col("pmass").quantile(q, "linear").alias(name) for name, q in QUANTILES.items()]
    groups = forks.filter(probe=probe).group_by(*COHORT, "reading", "t", maintain_order=True)
    return groups.agg(*quantiles, left=pl.len().cast(pl.Int64))


def smoothed(tokens: pl.DataFrame, value: str, width: int) -> pl.DataFrame:
    """Return `numbered` tokens, `value` replaced by its centred mean over `width` tokens of its trajectory.

    0 changes nothing. Towards its ends a trajectory has fewer neighbours: the mean is over those that there are.
    """
    if width == 0:
        return tokens
    mean = pl.col(value).rolling_mean(width, center=True, min_samples=1).over("line")
    return tokens.with_columns(mean.alias(value))


def thinned_lines(
    tokens: pl.DataFrame,
    lifetimes: pl.DataFrame,
    value: str = "kl",
    most_lines: int = MOST_LINES,
    most_bins: int = MOST_BINS,
) -> pl.DataFrame:
    """Return at most `most_lines` trajectories of each cohort, and of each the points that a panel can show.

    tokens: `numbered`, with `value`. lifetimes: as `lifetimes` returns them. Lines are taken evenly spaced in
    order of their lifetimes, so that the share that dies, and when, is that of the cohort to 1 line. Of each line, each
    of at most `most_bins` bins of tokens keeps its lowest and its highest point (the envelope; of equal points the
    first), and the points at its death and at its end stay. A row a line that has a point: keys, t and `value` (lists),
    duration, died, ended, shown and n (lines of the cohort), in the order of `lifetimes`.
    """
    rank = pl.int_range(pl.len()).over(COHORT)
    n = pl.len().over(COHORT).cast(pl.Int64)
    shown = pl.min_horizontal(n, most_lines)
    # Ranks r with floor((r + 1) * shown / n) > floor(r * shown / n): exactly `shown` of them, evenly spaced.
    step = (rank + 1) * shown // n > rank * shown // n
    lives = lifetimes.with_row_index("line").sort("died", "duration", "line")
    chosen = lives.with_columns(shown=shown, n=n).filter(step)
    points = tokens.drop_nulls(value).join(chosen.select("line", "duration"), on="line", maintain_order="left")
    points = points.with_row_index("point")
    edges = even_edges(int(points["t"].to_numpy().max(initial=1)), most_bins)
    bins = pl.Series(np.searchsorted(edges, points["t"], side="left"))
    low, high = pl.col("point").get(pl.col(value).arg_min()), pl.col("point").get(pl.col(value).arg_max())
    envelope = points.group_by("line", bins.alias("bin")).agg(low=low, high=high)
    ends = points.group_by("line").agg(pl.col("point").last())
    deaths = points.filter(pl.col("t") == pl.col("duration"))
    kept = pl.concat([envelope["low"], envelope["high"], ends["point"], deaths["point"]]).unique().sort()
    drawn = points[kept].group_by("line", maintain_order=True).agg("t", value)
    return drawn.join(chosen, on="line", maintain_order="left").select(
        *KEYS, "t", value, "duration", "died", "ended", "shown", "n"
    )


def read_quantiles(
    tokens: list[str], lifetimes: list[str], edges: Sequence[int], hidden: frozenset[str]
) -> pl.DataFrame:
    """Return `kl_quantiles` of files that belong together, one pair at a time. hidden: methods to leave out."""
    return pl.concat([kl_quantiles(table, life, edges) for table, life in _pairs(tokens, lifetimes, hidden)])


def read_lines(
    tokens: list[str], lifetimes: list[str], hidden: frozenset[str], smoothing: int, head: int | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return `thinned_lines` and the quantiles of files that belong together, one pair at a time.

    hidden: methods to leave out. head: None for `kl` (nats), or the tokens whose p95 is the scale of `normalised`.
    smoothing: tokens of the centred mean that comes after it.
    """
    value = "normalised" if head else "kl"
    lines, quantiles = [], []
    for table, life in _pairs(tokens, lifetimes, hidden):
        shown = smoothed(normalised_kl(table, head) if head else table, value, smoothing).drop_nulls(value)
        window = int(shown["t"].to_numpy().max(initial=1))
        quantiles.append(kl_quantiles(shown, life, even_edges(window, 2 * MOST_BINS), value))
        lines.append(thinned_lines(shown, life, value))
    return pl.concat(lines), pl.concat(quantiles)


def _pairs(
    tokens: list[str], lifetimes: list[str], hidden: frozenset[str]
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Yield `numbered` tokens and lifetimes of every method that is not hidden."""
    for path, lives in zip(tokens, lifetimes, strict=True):
        life = read_table(lives, LIFETIMES).filter(deciding())
        if hidden.isdisjoint(life["method"]):
            yield numbered(read_table(path, TOKENS, [*_varying(life), "t", "kl"]), life), life
