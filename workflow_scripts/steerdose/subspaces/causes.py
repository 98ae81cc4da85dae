"""Scores beside effects: what a hypothesis recovers of a delta, and what the part in its basis does to the model."""

from collections.abc import Iterator

import polars as pl
from scipy.stats import spearmanr

PLACE = ("model", "behavior")
WIDTH = 8  # directions of the bases that are told of; less where none is so wide
TARGETS = ("written", "stream")
CONTROL = r"^(own-\d+|random\d+-\d+|written)$"  # parts that are no hypothesis'


def over_seeds(rows: pl.DataFrame) -> pl.DataFrame:
    """Return of every method the rows over all its seeds, or of its one."""
    return rows.filter(pl.col("seeds") == pl.col("seeds").max().over(*PLACE, "method"))


def widest(subspaces: pl.DataFrame) -> pl.DataFrame:
    """Return the scores of bases of `WIDTH` directions, or of the widest below."""
    below = subspaces.filter(pl.col("width") <= WIDTH)
    return below.filter(pl.col("width") == pl.col("width").max())


def controls(parts: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of parts that no hypothesis names: all that is written, its own directions, random ones."""
    return parts.filter(pl.col("part").str.contains(CONTROL))


def scored(subspaces: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """Return the parts of hypotheses with their scores: of the method itself, or of each that was swept if it was not.

    Over all seeds, where there are several. subspace: the hypothesis; swept: whose delta the scores are of; written,
    stream: its recovery of these targets. Parts without an effect to retain are left out.
    """
    own = over_seeds(parts).filter(~pl.col("part").str.contains(CONTROL), pl.col("retained").is_not_null())
    named = own.with_columns(
        subspace=pl.col("part").str.extract(r"^(.*)-\d+$"), width=pl.col("part").str.extract(r"(\d+)$").cast(pl.Int64)
    )
    wanted = over_seeds(subspaces).filter(pl.col("target").is_in(TARGETS))
    keys = [*PLACE, "method", "subspace", "axis", "width"]
    if wanted.is_empty():
        return named.clear()
    scores = wanted.pivot("target", index=keys, values="recovery", on_columns=list(TARGETS)).rename({"method": "swept"})
    found = named.join(scores, on=[*PLACE, "subspace", "width"], how="inner", maintain_order="left")
    alone = pl.col("method").is_in(scores["swept"].unique().to_list())
    return found.filter(~alone | (pl.col("method") == pl.col("swept")))


def pairs(scores: pl.DataFrame) -> Iterator[tuple[tuple[str, ...], pl.DataFrame]]:
    """Yield what is compared: model, behavior, method, swept method and matching, with the parts that were kept."""
    if scores.is_empty():
        return
    kept = scores.filter(pl.col("side") == "keep", pl.col("at").is_in(["coefficient", "kl"]))
    for place, rows in kept.group_by(*PLACE, "method", "swept", "at", maintain_order=True):
        yield tuple(map(str, place)), rows


def correlation(rows: pl.DataFrame, target: str) -> tuple[float, float, int] | None:
    """Return the rank correlation of recovery and effect over hypotheses, its p, and their number; None for too few."""
    both = rows.drop_nulls([target, "retained"])
    if len(both) < 4 or both[target].n_unique() == 1 or both["retained"].n_unique() == 1:
        return None
    found = spearmanr(both[target], both["retained"])
    return float(found.statistic), float(found.pvalue), len(both)
