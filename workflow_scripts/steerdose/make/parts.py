"""The parts of a weight delta, as methods of their own: cut by layer or by module, kept in one file."""

import json
from collections.abc import Callable
from pathlib import PurePosixPath

from steerdose.columns import Cell
from steerdose.errors import SteerdoseError
from steerdose.files import write_json
from steerdose.steering.steering import MEMBERS, Steering, origin
from steerdose.study.settings import MakeParts


def layer_of(path: str) -> str:
    """Return the number of the block that a module lies in."""
    found = [part for part in path.split(".") if part.isdecimal()]
    if not found:
        raise SteerdoseError(f"{path} lies in no block, so it has no layer; cut by module instead")
    return found[0]


CUTS: dict[str, Callable[[str], str]] = {
    "layer": layer_of,
    "module": lambda path: PurePosixPath(path.replace(".", "/")).name,
}


def make_parts(*, source: str, cell: Cell, settings: MakeParts, entry: str, steering: str, geometry: str) -> None:
    """Write steering/{entry}.safetensors, which holds the edits of all parts, and its geometry.json.

    `Steering.member` takes one part out of the file. Raises SteerdoseError for a part that the whole does not have.
    """
    whole, method = Steering.load(source), settings.method
    cut = [(CUTS[method.by](path), path, edit) for path, edit in whole.edits]
    wanted = [str(name) for name in method.names]
    found = dict.fromkeys(member for member, _, _ in cut)
    if missing := [name for name in wanted if name not in found]:
        raise SteerdoseError(f"methods.{entry}.names: {method.of} has no {method.by} {missing}; it has {list(found)}")
    kept = [each for each in cut if each[0] in wanted]
    metadata = origin(cell, settings, whole.metadata["model_sha256"])
    parts = Steering(
        entry,
        tuple((path, edit) for _, path, edit in kept),
        {**metadata, MEMBERS: json.dumps([member for member, _, _ in kept])},
    )
    parts.save(steering)
    modules = [{**each, "member": kept[i][0]} for i, each in enumerate(parts.describe())]
    write_json({"method": entry, "modules": modules}, geometry)
