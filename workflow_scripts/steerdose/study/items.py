"""The items of tasks: rows of files of any origin, each with an id."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from steerdose.errors import SteerdoseError
from steerdose.study.tasks import ChoiceTask, Items

Row = dict[str, Any]
HUB_FILE = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)@(?P<revision>[\w.-]+):(?P<path>.+)")
READERS: dict[str, Callable[[Path], pl.DataFrame]] = {".csv": pl.read_csv, ".parquet": pl.read_parquet}


def is_local(source: str) -> bool:
    """Whether a source of items is a file of this machine; else it is one of the hub, known only once it is fetched."""
    return not HUB_FILE.fullmatch(source) or Path(source).exists()


def load_items(task: Items) -> list[Row]:
    """Return the items of a task, each with `id`, its place in the file where it has none.

    Raises SteerdoseError for a file that cannot be read, lacks a column that the task reads, or repeats an id.
    """
    rows = _read(_local(task.data))
    if not rows or (task.n_items or 0) > len(rows):
        raise SteerdoseError(f"{task.data}: {task.n_items or 1} items are wanted, it has {len(rows)}")
    missing = task.columns - set().union(*rows)
    if missing:
        there = sorted(set().union(*rows))
        raise SteerdoseError(f"{task.data}: no column '{min(missing)}', which the task reads; it has {there}")
    items = [{**row, "id": str(row.get("id", place))} for place, row in enumerate(rows[: task.n_items])]
    ids = [item["id"] for item in items]
    if len(set(ids)) < len(ids):
        raise SteerdoseError(f"{task.data}: id '{next(i for i in ids if ids.count(i) > 1)}' occurs more than once")
    return items


def _local(source: str) -> Path:
    match = HUB_FILE.fullmatch(source)
    if match is None or Path(source).exists():
        return Path(source)
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(match["id"], match["path"], revision=match["revision"], repo_type="dataset"))
    except Exception as error:
        raise SteerdoseError(
            f"cannot download '{source}': {error}. Check id, revision, path and the network, or give a local file"
        ) from error


def _read(path: Path) -> list[Row]:
    try:
        if reader := READERS.get(path.suffix):
            return list(reader(path).iter_rows(named=True))
        lines = [(n, line) for n, line in enumerate(path.read_text("utf-8").splitlines(), start=1) if line.strip()]
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        raise SteerdoseError(f"cannot read the items in {path}: {error}") from error
    return [_parsed(path, number, line) for number, line in lines]


def _parsed(path: Path, number: int, line: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise SteerdoseError(f"{path}: line {number} is not valid JSON: {error}") from error
    if not isinstance(row, dict):
        raise SteerdoseError(f"{path}: line {number} is no object with keys")
    return row


def sign_of(item: Row, form: str, task: ChoiceTask) -> int:
    """Return 1 where the first answer of a form shows the behavior, -1 where the second does, 0 where it is unknown."""
    asked = task.forms[form]
    if asked.intended in ("first", "second"):
        return 1 if asked.intended == "first" else -1
    column = asked.intended.removeprefix("not ")
    sign = _sign(item.get(column), asked.answers)
    return -sign if asked.intended.startswith("not ") else sign


def _sign(value: Any, answers: Sequence[str]) -> int:
    """Return 1 for true, above 0 or the first answer, -1 for false, below 0 or the second; 0 for anything else."""
    if isinstance(value, bool):
        return 1 if value else -1
    if isinstance(value, int | float):
        return (value > 0) - (value < 0)
    plain = str(value).strip(" ().").casefold()
    first, second = (answer.casefold() for answer in answers)
    return (plain == first) - (plain == second)


def forms_of(item: Row, task: ChoiceTask) -> list[str]:
    """Return the forms in which an item is asked: those whose columns it has, and whose intended answer is known."""
    has = {column for column, value in item.items() if value is not None}
    return [name for name, form in task.forms.items() if form.columns <= has and sign_of(item, name, task)]


def fill(text: str, item: Row) -> str:
    """Return a prompt with the columns of an item put in; braces that name no column stay."""
    return re.sub(r"\{(\w+)\}", lambda match: str(item.get(match[1], match[0])), text)
