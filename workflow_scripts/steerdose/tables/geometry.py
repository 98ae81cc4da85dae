"""How the steerings of a study lie in weight space: the geometry.json files of all methods as one table."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import polars as pl
import torch
from torch import Tensor

from steerdose.columns import METHOD
from steerdose.declarations.methods import GEOMETRY
from steerdose.files import read_json, write_csv
from steerdose.steering.edits import Add, Dense, Edit, LowRank, matrix
from steerdose.steering.steering import Steering
from steerdose.study.published import MethodFiles, TabulateGeometry
from steerdose.tables.publish import write_html

NUMBERS = ("norm_delta", "cos_anti", "asymmetry", "drift_ratio", "cos_delta_drift")
SCHEMA = {
    **{name: pl.Int64 if name == "seed" else pl.String for name in (*METHOD, "group")},
    **dict.fromkeys(NUMBERS, pl.Float64),
    **dict.fromkeys(("rank", "n_modules", "n_parameters"), pl.Int64),
    "stability": pl.Float64,
}


def tabulate_geometry(*, steerings: list[str], settings: TabulateGeometry, caption: str, csv: str, html: str) -> None:
    """Write the geometry of all steerings; steerings: a file a method of the settings, in their order."""
    table = geometry_table(settings.methods).with_columns(seed_cosines(settings.methods, steerings))
    write_csv(table, csv, GEOMETRY)
    write_html(table, html, GEOMETRY, caption, n_names=5)


def geometry_table(methods: Sequence[MethodFiles]) -> pl.DataFrame:
    """Return one row a method that has a geometry.json, with the columns of `SCHEMA`; null is what a file lacks.

    Norms are Frobenius norms, see `delta.geometry`.
    """
    rows = [
        {name: getattr(method, name) for name in (*METHOD, "group")} | _row(method, read_json(method.geometry))
        for method in methods
        if method.geometry
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def seed_cosines(methods: Sequence[MethodFiles], steerings: Sequence[str]) -> pl.Series:
    """Return for each steering its mean cosine with the same method's steerings of the other seeds; null with one seed.

    Deltas are compared by their Frobenius inner product and added directions by their dot product, over all modules,
    several edits of one module as their sum; other edits, and a delta beside a direction in one module, have none.
    """
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, method in enumerate(methods):
        groups[method.model, method.behavior, method.method].append(i)
    found: dict[int, list[float]] = defaultdict(list)
    for members in groups.values():
        for first, second in combinations(members, 2):
            value = _cosine(*(Steering.load(steerings[i]).member(methods[i].method) for i in (first, second)))
            if value is not None:
                found[first].append(value)
                found[second].append(value)
    means = [sum(found[i]) / len(found[i]) if i in found else None for i in range(len(methods))]
    return pl.Series("seed_cosine", means, dtype=pl.Float64)


def _cosine(first: Steering, second: Steering) -> float | None:
    sides = _by_module(first), _by_module(second)
    kinds: dict[str, set[bool]] = defaultdict(set)
    for side in sides:
        for path, edits in side.items():
            if not all(isinstance(edit, LowRank | Dense | Add) for edit in edits):
                return None
            kinds[path] |= {isinstance(edit, Add) for edit in edits}
    if any(len(found) > 1 for found in kinds.values()):
        return None
    norms = [torch.stack([_vector(edits).square().sum() for edits in side.values()]).sum().sqrt() for side in sides]
    shared = [(_vector(edits) * _vector(sides[1][path])).sum() for path, edits in sides[0].items() if path in sides[1]]
    return None if 0 in norms else float(sum(shared) / (norms[0] * norms[1]))


def _by_module(steering: Steering) -> dict[str, list[Edit]]:
    edits: dict[str, list[Edit]] = defaultdict(list)
    for path, edit in steering.edits:
        edits[path].append(edit)
    return edits


def _vector(edits: Sequence[Edit]) -> Tensor:
    """Return what the edits of one module add up to; all are directions, or all deltas."""
    vectors = [edit.v.double() if isinstance(edit, Add) else matrix(edit) for edit in edits]
    return sum(vectors[1:], start=vectors[0])


def _row(method: MethodFiles, found: dict[str, Any]) -> dict[str, Any]:
    modules = method.modules(found)

    def complete(key: str) -> list[Any] | None:
        values = [module.get(key) for module in modules]
        return None if None in values else values

    ranks, stored = complete("rank"), complete("n_parameters")
    stable = [module["stability"] for module in modules if module.get("stability") is not None]
    return {
        **{key: found.get(key) for key in NUMBERS},
        "rank": max(ranks) if ranks else None,
        "n_modules": len(modules),
        "n_parameters": sum(stored) if stored else None,
        "stability": sum(stable) / len(stable) if stable else None,
    }
