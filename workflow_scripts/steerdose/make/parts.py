"""The parts of a weight delta, as methods of their own: cut in one of several ways, kept in one file."""

import json

from steerdose.columns import Cell
from steerdose.errors import SteerdoseError
from steerdose.files import write_json
from steerdose.make.cuts import Whole, cut
from steerdose.steering.steering import MEMBERS, Steering, origin
from steerdose.study.settings import MakeParts


def make_parts(*, source: str, cell: Cell, settings: MakeParts, entry: str, steering: str, geometry: str) -> None:
    """Write steering/{entry}.safetensors, which holds the edits of all parts, and its geometry.json.

    `Steering.member` takes one part out of the file. geometry.json has of each its share of the delta's energy (squared
    norm), and how far it and what is left make up the whole. Raises SteerdoseError for a part that is not there.
    """
    delta, method = Steering.load(source), settings.method
    whole = Whole(delta)
    try:
        parts = [cut(whole, method.by, str(name), method.drop) for name in method.names]
    except SteerdoseError as error:
        raise SteerdoseError(f"methods.{entry}.names: {method.of}: {error}") from error
    placed = [(part.name, path, edit) for part in parts for path, edit in part.kept]
    metadata = origin(cell, settings, delta.metadata["model_sha256"])
    made = Steering(
        entry,
        tuple((path, edit) for _, path, edit in placed),
        {**metadata, MEMBERS: json.dumps([member for member, _, _ in placed])},
    )
    made.save(steering)
    modules = [{**each, "member": placed[i][0]} for i, each in enumerate(made.describe())]
    told = [{"member": part.name, "energy": part.energy, "error": part.error} for part in parts]
    write_json({"method": entry, "of": method.of, "parts": told, "modules": modules}, geometry)
