"""Records of JSON that jobs running at the same time write to: a mapping a file, of which each job sets its entries."""

import fcntl
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steerdose.files import replacing

log = logging.getLogger(__name__)


def read_record(path: Path) -> dict[str, Any]:
    """Return the entries of a record; none of one that is not there, empty or damaged, which is a warning."""
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        return dict(json.loads(text)) if text else {}
    except (ValueError, TypeError) as error:
        log.warning("%s is damaged and is not read: %s", path, error)
        return {}


def update_record(path: Path, entries: Mapping[str, Any]) -> None:
    """Set entries of a record, one of their jobs at a time; raise OSError where it cannot be written."""
    handle = _locked(path)
    try:
        with replacing(path) as temporary:
            text = json.dumps(dict(sorted({**read_record(path), **entries}.items())), indent=1)
            temporary.write_text(text + "\n", encoding="utf-8")
    finally:
        os.close(handle)


def _locked(path: Path) -> int:
    """Return a handle of the file, made if it is not there, with a lock that lasts until the handle is closed."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if path.exists() and path.stat().st_ino == os.fstat(handle).st_ino:
            return handle
        os.close(handle)  # it was replaced while we waited
