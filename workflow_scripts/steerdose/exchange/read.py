"""Steerings made elsewhere: adapters, control vectors, files of vectors and fine-tuned checkpoints.

Whatever does not fit the model is collected and reported in one error; nothing is skipped that `ignore` does not name.
A source is a local path or a hub id with a revision, `owner/name@revision`.
"""

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from steerdose.columns import Cell
from steerdose.errors import SteerdoseError
from steerdose.exchange.target import Result, Target
from steerdose.exchange.vectors import import_vectors, read_control_vector, read_steering_vectors, read_vectors
from steerdose.exchange.weights import import_adapters, import_checkpoints
from steerdose.files import sha256_of, write_json
from steerdose.model.sources import MODEL_FILES, fetch, weights_sha256
from steerdose.steering.steering import Steering, origin
from steerdose.study.settings import ImportSteering

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Format:
    """How sources of one format become edits. suffixes: of the one file that is read; empty: a directory is."""

    read: Callable[[Target, Sequence[Path], str], Result]
    suffixes: tuple[str, ...] = ()

    def locate(self, found: Path) -> Path:
        """Return the file or directory to read, given what a source stands for."""
        if not self.suffixes:
            if found.is_file():
                raise SteerdoseError(f"{found} is a file; give the directory that it lies in")
            return found
        if found.is_dir():
            inside = [path for path in sorted(found.iterdir()) if path.suffix in self.suffixes]
            if len(inside) != 1:
                names = [path.name for path in inside]
                raise SteerdoseError(f"{found} must hold one file ending in {' or '.join(self.suffixes)}, has {names}")
            return inside[0]
        if found.suffix not in self.suffixes:
            raise SteerdoseError(f"{found} does not end in {' or '.join(self.suffixes)}; convert it, or correct format")
        return found


FORMATS: dict[str, Format] = {
    "peft": Format(import_adapters),
    "control_vector": Format(partial(import_vectors, read_control_vector), (".gguf",)),
    "steering_vectors": Format(partial(import_vectors, read_steering_vectors), (".pt", ".pth")),
    "vectors": Format(partial(import_vectors, read_vectors), (".safetensors", ".npz")),
    "checkpoint": Format(import_checkpoints),
}


def import_steering(
    *, model: str, cell: Cell, settings: ImportSteering, entry: str, steering: str, geometry: str
) -> None:
    """Write steering/{entry}.safetensors, made from files of another tool, and its geometry.json.

    Raises SteerdoseError with all that does not fit the model.
    """
    method = settings.method
    sides, chosen, target = method.sources, FORMATS[method.format], Target(Path(model), method.ignore)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            files = []
            for side, source in sides.items():
                place, _, revision = (source, "", "") if Path(source).exists() else source.partition("@")
                wanted = [f"*{suffix}" for suffix in chosen.suffixes] or MODEL_FILES
                found = fetch(place, revision, Path(scratch) / side, key=f"methods.{entry}.{side}", files=wanted)
                files.append(chosen.locate(found))
            digests = [weights_sha256(path) if path.is_dir() else sha256_of(path) for path in files]
            held, report = chosen.read(target, files, method.delta or "difference")
            edits = target.of_layers(held, method.layers)
        if not edits:
            raise SteerdoseError("the sources change nothing: all vectors, or the difference of both sides, are zero")
        metadata = {**origin(cell, settings, target.source["sha256"]), "source_sha256": " ".join(digests)}
        imported = Steering(entry, tuple(edits.items()), metadata)
    except SteerdoseError as error:
        raise SteerdoseError(f"methods.{entry} ({' and '.join(sides.values())}): {error}") from error
    imported.save(steering)
    log.info("applied at %s", ", ".join(edits))
    sources = [{"source": source, "sha256": sha} for source, sha in zip(sides.values(), digests, strict=True)]
    write_json(
        {
            **{"method": entry, "format": method.format, "sources": sources, **report},
            **{"n_held": len(held), "modules": imported.describe()},
        },
        geometry,
    )
