"""The table of directions that can be named before training."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from steerdose.columns import METHOD
from steerdose.declarations.subspaces import SUBSPACE_PROMPTS, SUBSPACE_SUMMARY, SUBSPACES
from steerdose.files import read_tables, typed, write_csv, write_table
from steerdose.study.published import TabulateSubspaces
from steerdose.subspaces.resampling import resampled_mean
from steerdose.tables.publish import write_html

HYPOTHESIS = ("model", "behavior", "method", "subspace", "target", "width")
MEANS = ("recovery", "best", "excess", "chance_sd")


def tabulate_subspaces(
    *,
    summaries: list[str],
    prompts: list[str],
    settings: TabulateSubspaces,
    caption: str,
    table: str,
    csv: str,
    html: str,
) -> None:
    """Write what every hypothesis recovers, of every seed and over all of them, the best ones of a target first."""
    rows = list(_rows(summaries, prompts, settings)) if summaries else []
    frame = typed(rows, SUBSPACES)
    write_table(frame, table, SUBSPACES)
    write_csv(frame, csv, SUBSPACES)
    write_html(frame, html, SUBSPACES, caption, n_names=9)


def _rows(summaries: list[str], prompts: list[str], settings: TabulateSubspaces) -> Iterator[dict[str, Any]]:
    found = read_tables(summaries, SUBSPACE_SUMMARY).with_columns(seeds=pl.lit(1))
    known = _by_seed(read_tables(prompts, SUBSPACE_PROMPTS))
    means = [pl.col(name).mean() for name in MEANS]
    kept = [pl.col(name).first() for name in ("family", "axis", "blocks")]
    pooled = found.group_by(HYPOTHESIS, maintain_order=True).agg(pl.len().alias("seeds"), *kept, *means)
    every = pl.concat([found, pooled.filter(pl.col("seeds") > 1)], how="diagonal_relaxed")
    place = pl.col("method").cast(pl.Enum(settings.methods))
    order = every.sort(
        "model", "behavior", place, pl.col("seed").is_null(), "seed", "target", "width", "recovery",
        descending=[*[False] * 7, True],
    )  # fmt: skip
    names = [each.name for each in SUBSPACES.columns]
    for row in order.iter_rows(named=True):
        bounds = {}
        if row["target"] == "stream":
            own = known[tuple(row[name] for name in ("model", "behavior", "method", "subspace", "width"))]
            values = [each for seed, each in own.items() if row["seed"] in (None, seed)]
            bounds = dict(zip(("low", "high"), resampled_mean(values, settings.confidence), strict=True))
        yield {name: {**row, **bounds}.get(name) for name in names}


def _by_seed(prompts: pl.DataFrame) -> dict[tuple[Any, ...], dict[int, np.ndarray]]:
    """Return R of every prompt by hypothesis and seed."""
    found: dict[tuple[Any, ...], dict[int, np.ndarray]] = {}
    for key, own in prompts.group_by(*METHOD, "subspace", "width", maintain_order=True):
        model, behavior, seed, method, subspace, width = key
        place = found.setdefault((model, behavior, method, subspace, width), {})
        place[int(str(seed))] = own.sort("prompt")["recovery"].to_numpy()
    return found
