"""The parts of a weight delta, as methods of their own: cut in one of several ways, kept in one file."""

import json

from steerdose.columns import Cell
from steerdose.cuts.ways import cut
from steerdose.cuts.whole import Whole, whole_of
from steerdose.errors import SteerdoseError
from steerdose.files import write_json
from steerdose.make.bases import load_bases
from steerdose.model.linear import linear_weights
from steerdose.model.loading import load_model
from steerdose.steering.edit import Edit
from steerdose.steering.steering import MEMBERS, Steering, origin
from steerdose.study.parts import OF_SUBSPACES
from steerdose.study.settings import MakeParts


def make_parts(
    *,
    source: str,
    weights: list[str],
    bases: list[str],
    cell: Cell,
    settings: MakeParts,
    entry: str,
    steering: str,
    geometry: str,
) -> None:
    """Write steering/{entry}.safetensors, which holds the edits of all parts, and its geometry.json.

    weights: the model, where the way to cut reads its weights; bases: the shared ones, where it needs these.
    `Steering.member` takes one part out of the file. geometry.json has of each its share of the delta's energy (squared
    norm), and how far it and what is left make up the whole. Raises SteerdoseError for a part that is not there.
    """
    delta, method = Steering.load(source), settings.method
    try:
        whole = opened(delta, method.of, weights, bases, cell, directions=method.by in OF_SUBSPACES)
        parts = [cut(whole, method.by, str(name), method.drop) for name in method.names]
    except SteerdoseError as error:
        raise SteerdoseError(f"methods.{entry}.names: {method.of}: {error}") from error
    placed = [(part.name, path, edit) for part in parts for path, edit in part.kept]
    metadata = origin(cell, settings, delta.metadata["model_sha256"])
    made = Steering(
        entry,
        tuple((path, _copied(edit)) for _, path, edit in placed),
        {**metadata, MEMBERS: json.dumps([member for member, _, _ in placed])},
    )
    made.save(steering)
    modules = [{**each, "member": placed[i][0]} for i, each in enumerate(made.describe())]
    told = [{"member": part.name, "energy": part.energy, "error": part.error} for part in parts]
    write_json({"method": entry, "of": method.of, "parts": told, "modules": modules}, geometry)


def _copied(edit: Edit) -> Edit:
    """Return an edit with tensors of its own: parts may have one in common, and a file holds none twice."""
    return type(edit)(**{name: tensor.clone() for name, tensor in edit.tensors().items()})


def opened(
    delta: Steering, method: str, weights: list[str], bases: list[str], cell: Cell, *, directions: bool
) -> Whole:
    """Return a delta with all that ways to cut it need. weights, bases: no path or one; directions: see `whole_of`."""
    return whole_of(
        delta,
        directions=directions,
        method=method,
        weights=linear_weights(load_model(weights[0], train=True).model) if weights else {},
        bases=load_bases(bases[0]) if bases else {},
        draw=(*cell.parts, method),
    )
