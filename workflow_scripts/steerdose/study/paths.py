"""Where the files of a study lie; braces are the wildcards of the rules."""

from pathlib import Path
from typing import Any

CELL = "results/{model}/{behavior}/seed{seed}"
MODEL = "results/models/{model}"
BASES = f"{CELL}/ablations/bases.safetensors"
SUBSPACES = f"{CELL}/subspaces/bases.safetensors"


def at(w: Any, pattern: str, **more: Any) -> str:
    """Return a path with the wildcards of a job, and more names, put in."""
    return pattern.format(**{**dict(w.items()), **more})


def local_files(source: str) -> list[str]:
    """Return the files of a source that is a local path, and none of a remote one."""
    place = Path(source)
    if place.is_file():
        return [str(place)]
    return sorted(str(path) for path in place.glob("*") if path.is_file()) if place.is_dir() else []
