"""The tables of the parts of trained deltas."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from steerdose.ablation.places import PLACE
from steerdose.ablation.shares import Drawn, drawn, pooled, shares
from steerdose.declarations.ablations import ABLATIONS, SCREEN_SCORES, SCREENED_PARTS
from steerdose.declarations.base import Table
from steerdose.declarations.subspaces import SUBSPACE_PARTS
from steerdose.files import read_tables, typed, write_csv, write_table
from steerdose.study.published import TabulateAblations, TabulateSubspaceParts
from steerdose.tables.publish import write_html

CLAIMED = ("model", "behavior", "method")


def tabulate_ablations(
    *, parts: list[str], scores: list[str], settings: TabulateAblations, caption: str, table: str, csv: str, html: str
) -> None:
    """Write what every part retains, removes and breaks, of every seed and over all of them."""
    _written(ABLATIONS, parts, scores, settings, caption, (table, csv, html))


def tabulate_subspace_parts(
    *, parts: list[str], scores: list[str], settings: TabulateSubspaceParts, caption: str, table: str, csv: str,
    html: str,
) -> None:  # fmt: skip
    """Write what parts in bases of hypotheses retain, remove and break, of every seed and over all of them."""
    _written(SUBSPACE_PARTS, parts, scores, settings, caption, (table, csv, html))


def _written(
    declared: Table, parts: list[str], scores: list[str], settings: TabulateAblations, caption: str,
    paths: tuple[str, str, str],
) -> None:  # fmt: skip
    frame = typed(list(_rows(parts, scores, settings)) if parts else [], declared)
    table, csv, html = paths
    write_table(frame, table, declared)
    write_csv(frame, csv, declared)
    write_html(frame, html, declared, caption, n_names=9)


def _rows(parts: list[str], scores: list[str], settings: TabulateAblations) -> Iterator[dict[str, Any]]:
    told, found = read_tables(parts, SCREENED_PARTS), read_tables(scores, SCREEN_SCORES)
    for place, own in found.group_by(*CLAIMED, maintain_order=True):
        key = dict(zip(CLAIMED, place, strict=True))
        task, measure = settings.effects[str(key["behavior"])]
        seeds = own["seed"].unique(maintain_order=True).to_list()
        every: list[tuple[Drawn, Drawn]] = []
        for seed in seeds:
            here = own.filter(seed=seed)
            changes = (
                drawn(here.filter(task=name), options, what)
                for name, options, what in ((task, settings.tasks[task], measure), (*settings.damage, "nll"))
            )
            every.append((next(changes), next(changes)))
            cell = told.filter(seed=seed, **key)
            yield from _of_seed(key | {"seed": seed, "seeds": 1}, cell, every[-1], settings.confidence)
        if len(seeds) > 1:
            both = (pooled([each for each, _ in every]), pooled([each for _, each in every]))
            yield from _of_seed(
                key | {"seed": None, "seeds": len(seeds)}, _over_seeds(told.filter(**key)), both, settings.confidence
            )


def _of_seed(
    key: dict[str, Any], told: pl.DataFrame, changes: tuple[Drawn, Drawn], confidence: float
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one cell in the order of its parts; those that were not read have a note alone."""
    known = dict(shares(*changes, confidence))
    names = [each.name for each in ABLATIONS.columns]
    for row in told.unique(PLACE, keep="first", maintain_order=True).iter_rows(named=True):
        place = tuple(row[name] for name in PLACE)
        whole = {**dict.fromkeys(names), **row, **key, **known.get(place, {})}
        yield {name: whole[name] for name in names}


def _over_seeds(told: pl.DataFrame) -> pl.DataFrame:
    """Return what is told of every part, the mean over seeds; of notes the first."""
    numbers = ("tensors", "energy", "error", "coefficient", "kl")
    means = [pl.col(name).mean().cast(told.schema[name]) for name in numbers]
    return told.group_by(PLACE, maintain_order=True).agg(*means, pl.col("note").first())
