"""Damaged files are told from stale ones: each job leaves the digests of its outputs, and checks those of its inputs.

The digests of a directory's outputs stand in its digests.json. A job stops at a damaged input and notes it; the next
run sets it aside and makes it again. Files without a digest, such as the user's own, are not judged.
"""

import logging
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from steerdose.errors import SteerdoseError
from steerdose.files import sha256_of, sha256_of_files
from steerdose.flow.records import read_record, update_record

DIGESTS = "digests.json"
STATE = ("bytes", "modified", "changed")
LOCKS = Path(".snakemake/locks")
CLOCK = 60  # seconds that the clocks of machines may differ
LARGE = 2**30  # bytes: not hashed while rules are read, only by the jobs that read it
log = logging.getLogger(__name__)


def record_digests(outputs: Iterable[str]) -> None:
    """Write sha256, size and times of a job's outputs, files or directories, to digests.json beside each."""
    paths = [path for path in map(Path, outputs) if path.exists()]  # snakemake says what a job did not write
    for folder in {path.parent for path in paths}:
        own = [path for path in paths if path.parent == folder]
        _update(folder, {path.name: {"sha256": _digest(path), **_state(path)} for path in own})


def forget_digests(outputs: Iterable[str]) -> None:
    """Let outputs go unjudged while their job runs: what it wrote before it is killed is right as far as it goes."""
    for path in map(Path, outputs):
        if path.name in _entries(path.parent):
            _update(path.parent, {path.name: {}})


def check_inputs(paths: Iterable[str], rule: str) -> None:
    """Raise SteerdoseError where an input is not what was recorded; it is noted, for `set_damaged_aside`."""
    damaged = _damaged([Path(path) for path in paths])
    for path, known in damaged.items():
        _update(path.parent, {path.name: {**known, "damaged": True}})
    if damaged:
        raise SteerdoseError(
            f"{rule} cannot use {', '.join(map(str, damaged))}: not what was written there (changed by hand, or by a "
            "failing disk). Start the same command again: what is damaged is then set aside and made again"
        )


def drop_damaged(outputs: Iterable[str]) -> None:
    """Remove what an earlier run of this job left for it to extend, unless all of it is what was recorded."""
    found = [path for path in map(Path, outputs) if path.is_file()]
    if damaged := _damaged(found):
        log.warning("damaged: %s; all of the job is computed anew", ", ".join(map(str, damaged)))
        for path in found:
            path.unlink()


def set_damaged_aside(results: Path, *, dry: bool) -> list[str]:
    """Rename damaged files under `results` to `*.damaged`, so that they are made again; return a line for each.

    Cheap: what has the recorded size and times is not hashed again. A disk may change a file without a trace in them;
    that is found by the jobs that read it. dry: nothing is renamed.
    """
    lines = []
    for folder in sorted(record.parent for record in results.rglob(DIGESTS)):
        for path in _changed(folder):
            if _is_running():
                return []
            if not dry:
                path.rename(_free(path))
            aside = "would be set aside" if dry else "is set aside"
            lines.append(f"{path} is damaged; it {aside}, and made again if it is needed")
    return lines


def set_clock_right(results: Path, now: float) -> list[str]:
    """Give files under `results` that are younger than `now` (seconds) that time; return a line if there were some.

    Where a clock went back, snakemake would refuse every file that is made now as older than what it is made of.
    """
    young = [path for path in results.rglob("*") if path.is_file() and path.stat().st_mtime > now + CLOCK]
    for path in young:
        os.utime(path, (now, now))
    words = "were from the future (did the clock go back?); they are from now"
    return [f"{len(young)} files in {results} {words}"] if young else []


def prepare(results: Path, *, dry: bool) -> None:
    """Before a run: set damaged files aside and the clock right, and say so on stderr. dry: say what is damaged."""
    lines = [] if dry or _is_running() else set_clock_right(results, time.time())
    for line in [*lines, *set_damaged_aside(results, dry=dry)]:
        print(line, file=sys.stderr)


def _is_running() -> bool:
    """Whether another run is at work, at whose lock this one will stop."""
    return any(LOCKS.glob("*"))


def _changed(folder: Path) -> list[Path]:
    """Return the folder's outputs that are not what was recorded; of those that are, the times are recorded anew."""
    changed, same = [], {}
    for name, known in _entries(folder).items():
        path = folder / name
        state = _state(path) if path.exists() else known
        is_new = known.get("damaged") or any(known[each] != state[each] for each in STATE)
        if not is_new or (state["bytes"] == known["bytes"] >= LARGE and not known.get("damaged")):
            continue
        if known["sha256"] == _digest(path):
            same[name] = {"sha256": known["sha256"], **state}
        else:
            changed.append(path)
    if same:
        _update(folder, same)
    return changed


def _free(path: Path) -> Path:
    """Return a name for a damaged file that is not taken."""
    names = (path.with_name(f"{path.name}.damaged{number or ''}") for number in range(10**6))
    return next(name for name in names if not name.exists())


def _update(folder: Path, entries: dict[str, dict[str, Any]]) -> None:
    """Set entries of a folder's digests; where that cannot be, its files are not judged, and that is all."""
    try:
        update_record(folder / DIGESTS, entries)
    except OSError as error:
        log.warning("no digests were recorded in %s: %s", folder, error)


def _entries(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what is recorded of a folder's files; entries that are damaged themselves are left out."""
    entries = read_record(folder / DIGESTS).items()
    return {name: entry for name, entry in entries if isinstance(entry, dict) and {"sha256", *STATE} <= entry.keys()}


def _damaged(paths: Sequence[Path]) -> dict[Path, dict[str, Any]]:
    """Return those of the files that are not what was recorded, with their entries."""
    entries = {folder: _entries(folder) for folder in {path.parent for path in paths}}
    known = {path: entries[path.parent].get(path.name) for path in paths}
    return {path: entry for path, entry in known.items() if entry and entry["sha256"] != _digest(path)}


def _files(path: Path) -> list[Path]:
    """Return the file itself, or the files of a directory in order, without hidden ones."""
    if not path.is_dir():
        return [path]
    return sorted(each for each in path.rglob("*") if each.is_file() and not each.name.startswith("."))


def _digest(path: Path) -> str:
    """Return the sha256 of a file; of a directory, that of its 'sha256  name' lines."""
    return sha256_of(path) if path.is_file() else sha256_of_files(_files(path), path)


def _state(path: Path) -> dict[str, int]:
    """Return bytes in all, and the latest times in ns: of content, which tools can set, and of the inode."""
    stats = [each.stat() for each in _files(path)]
    times = [max((getattr(each, name) for each in stats), default=0) for name in ("st_mtime_ns", "st_ctime_ns")]
    return dict(zip(STATE, (sum(each.st_size for each in stats), *times), strict=True))
