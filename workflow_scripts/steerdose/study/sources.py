"""Where a model may come from: what its source is, told without reading it."""

import re
from pathlib import Path
from typing import Literal

from steerdose.errors import SteerdoseError

PYPI = re.compile(r"pypi://(?P<name>[A-Za-z0-9_.-]+)==(?P<version>[A-Za-z0-9_.+!-]+)/(?P<member>.+)")


def kind_of(source: str, revision: str | None, key: str = "models.<name>.source") -> Literal["wheel", "path", "hub"]:
    """Return what a source is; raise SteerdoseError where it is nothing, or a hub id without a revision.

    key: what the config calls the source, for messages.
    """
    if PYPI.fullmatch(source):
        return "wheel"
    if Path(source).exists():
        return "path"
    if source.startswith(("pypi://", ".", "/")) or source.count("/") != 1:
        raise SteerdoseError(
            f"model source '{source}' is neither an existing path nor 'pypi://name==version/path/in/wheel' nor a hub "
            f"id 'owner/name'; correct {key}"
        )
    if not revision:
        revision_key = f"{key.rpartition('.')[0]}.revision"
        raise SteerdoseError(f"model source '{source}' is a hub id: give {revision_key}, a commit or a tag")
    return "hub"
