"""Tables for readers: a standalone HTML page, without scripts."""

from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from steerdose.declarations.base import Table
from steerdose.files import check_table, replacing

STICKY = 64  # characters of leading name columns that stay in sight while the rest scrolls sideways
CHARACTER, PADDING = 0.62, 2.2  # em: room for one of them, and beside them; not ch, which is wider in a bold header
STYLE = """\
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #222; }
p, details { max-width: 52rem; }
dt { font-weight: 600; }
dd { margin: 0 0 0.25rem 1.5rem; }
.scroll { overflow: auto; max-height: calc(100vh - 4rem); width: fit-content; max-width: 100%; }
table { border-collapse: separate; border-spacing: 0; }
th, td { padding: 0.25rem 0.75rem; text-align: right; border-bottom: 1px solid #ddd; background: #fff; }
td { font-variant-numeric: tabular-nums; }
th { border-bottom: 2px solid #222; position: sticky; top: 0; z-index: 1; }
tr.first td { border-top: 1px solid #888; }
"""


def write_html(frame: pl.DataFrame, path: str | Path, table: Table, caption: str, n_names: int = 4) -> None:
    """Write a table as one page without scripts or outside references; every string is escaped.

    caption: what to read first, and after an empty line a line a column; it is an argument of its own, so that a rule
    that writes a page can depend on it. The first `n_names` columns are names, set to the left; header and names stay
    in sight. A line parts the rows where one of the first four names changes. Floats have four significant digits; a
    null is empty. Raises SteerdoseError for columns that the table does not declare.
    """
    check_table(frame.schema, table, str(path), shown=True)
    texts = [[_text(value) for value in row] for row in frame.iter_rows()]
    header = _row([name.replace("_", " ") for name in frame.columns], "th")
    groups = [row[: min(n_names, 4)] for row in texts]
    body = "\n".join(_row(row, "td", i > 0 and groups[i] != groups[i - 1]) for i, row in enumerate(texts))
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(table.title)}</title>\n'
        f"<style>\n{STYLE}{_names_style(frame.columns, texts, n_names)}</style>\n</head>\n<body>\n"
        f"<h1>{escape(table.title)}</h1>\n{_explained(caption)}"
        f'<div class="scroll">\n<table>\n<thead>\n{header}\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>\n'
        "</body>\n</html>\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _explained(caption: str) -> str:
    """Return the caption as paragraph, and its columns in a list that opens at a click."""
    reading, _, told = caption.partition("\n\n")
    terms = [line.partition(": ") for line in told.splitlines()]
    listed = "\n".join(f"<dt>{escape(term)}</dt><dd>{escape(meaning)}</dd>" for term, _, meaning in terms)
    columns = f"<details>\n<summary>Columns</summary>\n<dl>\n{listed}\n</dl>\n</details>\n" if told else ""
    return f"<p>{escape(reading)}</p>\n{columns}"


def _names_style(columns: list[str], texts: list[list[str]], n_names: int) -> str:
    """Return the style of the name columns: to the left; and each beside the one before while the rest scrolls.

    A column that stays needs a width: that of its longest text, in characters.
    """
    style, place = (
        f"th:nth-child(-n+{n_names}), td:nth-child(-n+{n_names}) {{ text-align: left; white-space: nowrap; }}\n",
        0,
    )
    for i in range(n_names):
        width = max(map(len, [columns[i], *(row[i] for row in texts)]))
        if place + width > STICKY:
            break
        left, size = (f"{CHARACTER * n + PADDING * m:.2f}em" for n, m in ((place, i), (width, 1)))
        both = f"th:nth-child({i + 1}), td:nth-child({i + 1})"
        style += (
            f"{both} {{ position: sticky; left: {left}; box-sizing: border-box; min-width: {size}; max-width: {size}; "
            f"overflow: hidden; text-overflow: ellipsis; }}\nth:nth-child({i + 1}) {{ z-index: 2; }}\n"
        )
        place += width
    return style


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _row(cells: list[str], tag: str, first: bool = False) -> str:
    opened = '<tr class="first">' if first else "<tr>"
    return opened + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
