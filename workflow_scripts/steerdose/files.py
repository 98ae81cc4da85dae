"""Files that pass between rules: every write goes to a temporary name first and is then renamed."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

KEYS = ("model", "behavior", "seed", "method", "alpha", "coefficient", "prompt_id")
COHORT = KEYS[:-1]  # the trajectories of one method and dose differ in their prompt only


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed onto it on success and removed on failure.

    The body may create a file or a directory there; the suffix is kept, because some writers look at it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield work / path.name
        if path.is_dir():
            shutil.rmtree(path)
        (work / path.name).replace(path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_table(frame: pl.DataFrame, path: str | Path) -> None:
    """Write parquet with the key columns first, in the order of `KEYS`."""
    first = [name for name in KEYS if name in frame.columns]
    with replacing(path) as temporary:
        frame.select(first + [name for name in frame.columns if name not in first]).write_parquet(temporary)


def read_table(path: str | Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Read what `write_table` wrote: all columns, or those named."""
    return pl.read_parquet(path, columns=columns)


def read_tables(paths: list[str]) -> pl.DataFrame:
    """Concatenate tables of one kind from several cells and methods."""
    return pl.concat([pl.read_parquet(path) for path in paths])


def sequences(tokens: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Return a row a trajectory: its keys, and each of the columns as a list in order of t."""
    return tokens.group_by(KEYS, maintain_order=True).agg(pl.col(columns).sort_by("t"))


def write_json(data: Any, path: str | Path) -> None:
    """Write JSON; NaN and infinity are refused."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read what `write_json` wrote."""
    return json.loads(Path(path).read_text(encoding="utf-8"))
