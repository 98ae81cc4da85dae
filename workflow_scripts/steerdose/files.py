"""Files that pass between rules: every write goes to a temporary name first and is then renamed.

Tables are checked against their declaration when they are written and when they are read.
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from steerdose.columns import KEYS, Cell
from steerdose.declarations.base import Table
from steerdose.errors import SteerdoseError

NO_ROOM = 2**16  # bytes: a disk with less is full
TYPES = {"text": pl.String, "integer": pl.Int64, "number": pl.Float64, "boolean": pl.Boolean}


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed onto it on success and removed on failure.

    The body may create a file or a directory there; the suffix is kept, because some writers look at it. Raises
    SteerdoseError where it fails on a full disk, which not every writer says.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield work / path.name
        if path.is_dir():
            shutil.rmtree(path)
        (work / path.name).replace(path)
    except Exception as error:
        if shutil.disk_usage(work).free >= NO_ROOM:
            raise
        full = os.strerror(errno.ENOSPC)
        raise SteerdoseError(f"{full}: make room for {path} and start the same command again ({error})") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def check_table(schema: pl.Schema, table: Table, place: str, *, shown: bool = False) -> None:
    """Raise SteerdoseError unless the columns are those of the declaration, with values of their types.

    place: the file, in words. shown: of the html page. A column without any value, of type Null, fits every type.
    """
    for name, found in schema.items():
        column = table.find(name, shown)
        if column is None:
            raise SteerdoseError(
                f"{place}: column '{name}' is not declared for the table {table.name}; if the file is older than the "
                f"code, rerun {table.rule} (--forcerun {table.rule}), else declare it in steerdose/declarations"
            )
        if found != pl.Null and column.kind != _kind(found):
            raise SteerdoseError(
                f"{place}: expected {column.kind} in the column '{name}' of the table {table.name}, found {found}; "
                f"rerun {table.rule} (--forcerun {table.rule})"
            )


def write_table(frame: pl.DataFrame, path: str | Path, table: Table) -> None:
    """Write parquet with the key columns first, in the order of `KEYS`; raise SteerdoseError for undeclared columns."""
    _check_all(frame.schema, table, str(path))
    first = [name for name in KEYS if name in frame.columns]
    with replacing(path) as temporary:
        frame.select(first + [name for name in frame.columns if name not in first]).write_parquet(temporary)


def typed(rows: Iterable[Mapping[str, Any] | tuple[Any, ...]], table: Table, cell: Cell | None = None) -> pl.DataFrame:
    """Return rows as a frame with the declared columns, in their order and of their kinds. cell: of every row."""
    given = cell.columns() if cell else []
    own = {each.name: TYPES[each.kind] for each in table.columns if each.name not in (cell.names if cell else ())}
    frame = pl.DataFrame(list(rows), schema=own, orient="row").with_columns(given)
    return frame.select(each.name for each in table.columns)


def read_table(path: str | Path, table: Table, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Read what `write_table` wrote, all columns or those named; raise SteerdoseError unless they are as declared."""
    schema = pl.read_parquet_schema(path)
    _check_all(pl.Schema(schema), table, str(path), columns)
    return pl.read_parquet(path, columns=None if columns is None else list(columns))


def read_tables(paths: Sequence[str], table: Table, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Concatenate tables of one kind from several cells and methods."""
    return pl.concat([read_table(path, table, columns) for path in paths])


def write_csv(frame: pl.DataFrame, path: str | Path, table: Table) -> None:
    """Write a table as CSV; a null is an empty field. Raises SteerdoseError for undeclared columns."""
    _check_all(frame.schema, table, str(path))
    with replacing(path) as temporary:
        frame.write_csv(temporary)


def _check_all(schema: pl.Schema, table: Table, place: str, wanted: Sequence[str] | None = None) -> None:
    """Check the wanted columns, all by default, and that each is there."""
    names = [each.name for each in table.columns if not each.is_pattern] if wanted is None else wanted
    missing = [name for name in names if name not in schema]
    if missing:
        raise SteerdoseError(
            f"{place}: the table {table.name} lacks the column '{missing[0]}', found {', '.join(schema)}; "
            f"rerun {table.rule} (--forcerun {table.rule})"
        )
    chosen = schema if wanted is None else pl.Schema({name: schema[name] for name in wanted})
    check_table(chosen, table, place)


def _kind(dtype: pl.DataType) -> str:
    """Return the declared type of a column of polars."""
    if dtype.is_integer():
        return "integer"
    if dtype.is_float():
        return "number"
    return {"String": "text", "Boolean": "boolean"}.get(str(dtype), str(dtype))


def sequences(tokens: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Return a row a trajectory: its keys, and each of the columns as a list in order of t."""
    return tokens.group_by(KEYS, maintain_order=True).agg(pl.col(columns).sort_by("t"))


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(paths: Iterable[Path], root: Path) -> str:
    """Return the sha256 of the 'sha256  name' lines of files, named from the directory `root`."""
    lines = "".join(f"{sha256_of(path)}  {path.relative_to(root)}\n" for path in paths)
    return hashlib.sha256(lines.encode()).hexdigest()


def write_json(data: Any, path: str | Path) -> None:
    """Write JSON; NaN and infinity are refused."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read what `write_json` wrote."""
    return json.loads(Path(path).read_text(encoding="utf-8"))
