"""The bases of all hypotheses at all blocks, in one file. No trained delta is read: the job stops if one was."""

from collections.abc import Iterator

import polars as pl
from safetensors.torch import load_file, save_file
from torch import Tensor

from steerdose.columns import Cell
from steerdose.declarations.subspaces import SUBSPACE_BASES
from steerdose.errors import SteerdoseError
from steerdose.files import replacing, write_table
from steerdose.model.architecture import layer_range
from steerdose.model.loading import load_model
from steerdose.model.residual import residual_view
from steerdose.steering.steering import Steering
from steerdose.study.settings import BuildSubspaces
from steerdose.subspaces import of_attention  # noqa: F401 (registers its hypotheses)
from steerdose.subspaces.of_activations import Activations
from steerdose.subspaces.of_weights import Weights
from steerdose.subspaces.registry import Built, built
from steerdose.subspaces.sites import Sites

WIDTH = 8  # at which the gap is told


def build_subspaces(*, model: str, sites: str, cell: Cell, settings: BuildSubspaces, bases: str, told: str) -> None:
    """Write bases.safetensors, {subspace}.{block}: (width, columns), and what is told of each of them.

    Raises SteerdoseError where a steering was read before: hypotheses must not see any.
    """
    if Steering.n_loaded:
        raise SteerdoseError("a steering was read before the bases were built; they must not see any")
    loaded = load_model(model, train=True)
    view = residual_view(loaded.model, loaded.tokenizer)
    given = Activations(Sites(**load_file(sites)), Weights(view, settings.switches))
    blocks = layer_range(len(view.blocks), settings.layer_range)
    every = [
        *built(given.weights, ("weights",), blocks, settings.columns),
        *built(given, ("activations", "both"), blocks, settings.columns),
    ]
    with replacing(bases) as temporary:
        save_file(dict(_tensors(every)), temporary)
    rows = [_told(each) for each in every]
    table = pl.DataFrame(rows, schema_overrides={"gap": pl.Float64}, infer_schema_length=None)
    write_table(table.with_columns(cell.columns()), told, SUBSPACE_BASES)


def _tensors(every: list[Built]) -> Iterator[tuple[str, Tensor]]:
    for each in every:
        if each.basis is not None:
            yield f"{each.name}.{each.block}", each.basis.Q.float().contiguous().clone()


def _told(each: Built) -> dict[str, object]:
    return {
        "subspace": each.name,
        "family": each.family,
        "axis": each.axis,
        "scope": each.scope,
        "block": each.block,
        "directions": each.basis.Q.shape[1] if each.basis else 0,
        "rank": each.basis.rank if each.basis else 0,
        "gap": each.basis.gap(WIDTH) if each.basis else None,
        "status": each.status,
    }
