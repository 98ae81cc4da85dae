"""What docs and report say of tables, made of their declarations: `python -m steerdose.docs`, or with `--check`.

Run where the project lies, with workflow_scripts on the path. `--check` writes nothing and fails where a file is not
as it would be written.
"""

import difflib
import sys
import textwrap
from pathlib import Path

from steerdose.declarations.base import Column, Table
from steerdose.declarations.index import PUBLISHED, TABLES

OPENING = """\
# Tables

Every table that a study writes, made of the declarations in `workflow_scripts/steerdose/declarations` by
`python -m steerdose.docs`; edit these. A dose is a multiple of the calibrated coefficient, KL is in nats, an empty
field is null.
"""


def pages() -> dict[str, str]:
    """Return the text of every generated file, by its path in the project."""
    ends = {table.name for table in PUBLISHED}
    passed = [table for table in TABLES.values() if table.name not in ends]
    parts = [OPENING]
    for heading, tables in (("What a study ends in", PUBLISHED), ("What passes between rules", passed)):
        parts += [f"## {heading}\n", *map(_section, tables)]
    captions = {f"report/{table.name}_table.rst": _caption(table) for table in PUBLISHED}
    return {"docs/tables.md": "\n".join(parts), **captions}


def _section(table: Table) -> str:
    files = table.path if table.path.endswith(".parquet") else f"{table.path}.csv"
    lines = [f"### {table.name}\n", f"`{files}`, by rule `{table.rule}`. A row is {table.row}.\n"]
    if table.reading:
        lines.append(textwrap.fill(table.reading, 120) + "\n")
    lines += ["| column | type | unit | meaning |", "|---|---|---|---|", *map(_row, table.columns), ""]
    if table.shown:
        lines += ["In html:\n", "| column | unit | meaning |", "|---|---|---|"]
        lines += [_row(each, with_type=False) for each in table.shown if each not in table.columns] + [""]
    return "\n".join(lines)


def _row(column: Column, with_type: bool = True) -> str:
    types = [column.kind] if with_type else []
    cells = [f"`{column.name}`", *types, column.unit, column.meaning]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _caption(table: Table) -> str:
    """Return a caption of the report, in reStructuredText."""
    text = f"A row is {table.row}. {table.reading}"
    for sign in "\\*|`":
        text = text.replace(sign, f"\\{sign}")
    return textwrap.fill(text, 120, break_on_hyphens=False) + "\n"


def stale(root: Path) -> list[str]:
    """Return a summary of each generated file that is not as it would be written: missing, or which lines differ."""
    found = []
    for name, text in pages().items():
        path = root / name
        if not path.is_file():
            found.append(f"{name}: missing")
        elif (old := path.read_text(encoding="utf-8")) != text:
            changes = difflib.unified_diff(old.splitlines(), text.splitlines(), "there", "declared", lineterm="", n=0)
            found.append(f"{name}:\n" + "\n".join(f"  {line}" for line in list(changes)[2:]))
    return found


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` print what is stale and return 1 if anything is."""
    if arguments == ["--check"]:
        found = stale(Path())
        sys.stdout.writelines(f"{each}\n" for each in [*found, *["run python -m steerdose.docs"][: len(found)]])
        return int(bool(found))
    for name, text in pages().items():
        Path(name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
