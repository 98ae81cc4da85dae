"""How the steerings of a study lie in weight space: the geometry.json files of all methods as one table."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import polars as pl
import torch
from torch import Tensor

from steerdose.files import read_json
from steerdose.steering.edits import Add, Dense, Edit, LowRank, matrix
from steerdose.steering.steering import Steering

GEOMETRY = ("norm_delta", "cos_anti", "asymmetry", "drift_ratio", "cos_delta_drift")
SCHEMA = {
    **{name: pl.Int64 if name == "seed" else pl.String for name in ("model", "behavior", "seed", "method", "kind")},
    **dict.fromkeys(GEOMETRY, pl.Float64),
    **dict.fromkeys(("rank", "n_modules", "n_parameters"), pl.Int64),
    "stability": pl.Float64,
}
CAPTION = (
    "How each steering lies in weight space. P and N are the weight deltas of the positive and the negative "
    "adapter, all modules together. norm delta: |P - N|. cos anti: -cos(P, N), 1 when they are opposites. "
    "asymmetry: |P| / |N|. drift ratio: |P + N| / |P - N|, what both share over what tells them apart. cos delta "
    "drift: |cos(P - N, P + N)|. rank: the largest of all modules; empty when some are stored whole. n modules, n "
    "parameters: edited modules and numbers stored. stability: cosine between directions fitted to halves of the "
    "prompts, mean over modules. seed cosine: cosine with the steerings of the study's other seeds, all modules "
    "together, mean over those seeds. Empty: not defined for this kind of method."
)


def geometry_table(cells: Sequence[dict[str, Any]], paths: Sequence[str]) -> pl.DataFrame:
    """Return one row a geometry.json, with the columns of `SCHEMA`; what a file does not hold is null.

    cells: model, behavior, seed, method and kind of each path. Norms are Frobenius norms, see `delta.geometry`.
    """
    rows = [{**cell, **_row(read_json(path))} for cell, path in zip(cells, paths, strict=True)]
    return pl.DataFrame(rows, schema=SCHEMA)


def seed_cosines(cells: Sequence[dict[str, Any]], steerings: Sequence[str]) -> pl.Series:
    """Return for each steering its mean cosine with the same method's steerings of the other seeds; null with one seed.

    Deltas are compared by their Frobenius inner product and added directions by their dot product, over all modules,
    several edits of one module as their sum; other edits, and a delta beside a direction in one module, have none.
    """
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, cell in enumerate(cells):
        groups[cell["model"], cell["behavior"], cell["method"]].append(i)
    found: dict[int, list[float]] = defaultdict(list)
    for members in groups.values():
        for first, second in combinations(members, 2):
            value = _cosine(*(Steering.load(steerings[i]) for i in (first, second)))
            if value is not None:
                found[first].append(value)
                found[second].append(value)
    means = [sum(found[i]) / len(found[i]) if i in found else None for i in range(len(cells))]
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


def _row(found: dict[str, Any]) -> dict[str, Any]:
    modules = found["modules"]

    def complete(key: str) -> list[Any] | None:
        values = [module.get(key) for module in modules]
        return None if None in values else values

    ranks, stored = complete("rank"), complete("n_parameters")
    stable = [module["stability"] for module in modules if module.get("stability") is not None]
    return {
        **{key: found.get(key) for key in GEOMETRY},
        "rank": max(ranks) if ranks else None,
        "n_modules": len(modules),
        "n_parameters": sum(stored) if stored else None,
        "stability": sum(stable) / len(stable) if stable else None,
    }
