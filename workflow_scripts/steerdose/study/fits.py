"""What of a study does not fit its models, as far as their files are on this machine and say so without torch."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from steerdose.study.config import Model, Study
from steerdose.study.methods import Adapter
from steerdose.study.parts import Parts
from steerdose.study.paths import MODEL

IN_BLOCK = re.compile(r".*?\.(\d+)\.(.+)\.(weight|bias)")
EXPERT = re.compile(r".*?\.(\d+)\.(?:.*\.)?experts\.(?:\d+\.|\w+_proj)")  # one by one in most files, fused in some
OPENED = {"gate_up_proj", "up_proj", "down_proj"}  # what model.experts calls their matrices, not all in every model
HEADER = 100 * 2**20  # bytes, at most: more is no header


def unfitting(study: Study) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield adapters' target modules that no block of a model has, layer ranges without a block, parts of no block."""
    for name in study.study.models:
        blocks = _blocks(_directory(name, study.models[name])) if name in study.models else []
        if not blocks:
            continue
        leaves = {path.rsplit(".", 1)[-1] for block in blocks for path in block}
        for key in study.study.methods:
            method = study.methods.get(key)
            by_layer = method.names if isinstance(method, Parts) and method.by == "layer" else ()
            if missing := [each for each in by_layer if int(each) >= len(blocks)]:
                yield ("methods", key, "names"), f"{missing}: {name} has blocks 0 to {len(blocks) - 1}"
            if not isinstance(method, Adapter):
                continue
            if missing := sorted(set(method.target_modules) - leaves):
                text = f"{missing} are in no block of {name}; it has {sorted(leaves)}"
                yield ("methods", key, "target_modules"), text
            first, last = (round(share * len(blocks)) for share in method.layer_range)
            if first >= last:
                text = f"holds none of the {len(blocks)} blocks of {name}; give a wider one"
                yield ("methods", key, "layer_range"), text


def _directory(name: str, model: Model) -> Path:
    """Return where a model's files are: resolved, or else its source, which need not be a directory."""
    resolved = Path(MODEL.format(model=name))
    return resolved if resolved.is_dir() else Path(model.source)


def _blocks(directory: Path) -> list[set[str]]:
    """Return for each block the paths of its modules with parameters; none where no header can be read."""
    found: dict[int, set[str]] = {}
    for file in sorted(directory.glob("*.safetensors")) if directory.is_dir() else ():
        for tensor in _tensors(file):
            if expert := EXPERT.match(tensor):
                found.setdefault(int(expert[1]), set()).update(OPENED)
            elif inside := IN_BLOCK.fullmatch(tensor):
                found.setdefault(int(inside[1]), set()).add(inside[2])
    return [found[index] for index in sorted(found)]


def _tensors(file: Path) -> list[str]:
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            return list(json.loads(opened.read(length))) if length <= HEADER else []
    except (OSError, ValueError):
        return []  # resolve_model says what is wrong with it
