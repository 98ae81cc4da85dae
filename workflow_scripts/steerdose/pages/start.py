"""What a report opens with: which dose to take, in a table and a picture."""

import base64
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from steerdose.declarations.benefit import RECOMMENDED
from steerdose.files import read_table, replacing

MOST = 16  # rows; the page of the table has all
COLUMNS = ("method", "verdict", "coefficient", "effect", "broken", "index")
ABOUT = """\
Effect: on the task that shows the behavior, toward the sign, with its interval. Broken: texts that break by the window
at this dose, and the bound on their share. Index: lethal dose over effective dose. In words, and with what it costs:
the table of doses under Benefit_.
"""


def write_start(*, doses: str, figure: str, start: str) -> None:
    """Write the recommended doses and the therapeutic figure as reStructuredText, for the report's first page."""
    rows = read_table(doses, RECOMMENDED)
    chosen = rows.sort(pl.col("verdict") != "recommended", maintain_order=True).head(MOST)
    more = f"{rows.height - MOST} more rows are in the table of doses.\n\n" if rows.height > MOST else ""
    picture = base64.b64encode(Path(figure).read_bytes()).decode()
    lines = "\n".join(f"   {part}" for part in textwrap.wrap(picture, 100))
    image = f".. image:: data:image/png;base64,\n{lines}\n   :alt: Effect and survival by dose\n   :width: 100%\n"
    several = rows.select("model", "behavior", "seed").n_unique() > 1
    with replacing(start) as temporary:
        temporary.write_text(f"{_table(chosen.to_dicts(), several)}\n{more}{ABOUT}\n{image}", encoding="utf-8")


def _table(rows: Sequence[dict[str, Any]], several: bool) -> str:
    """Return a list-table. several: whether rows are of more than one cell, which then is named."""
    text = ".. list-table::\n   :header-rows: 1\n\n"
    for cells in [COLUMNS, *(_cells(row, several) for row in rows)]:
        text += "".join(f"   {'* -' if i == 0 else '  -'} {cell}\n" for i, cell in enumerate(cells))
    return text


def _cells(row: dict[str, Any], several: bool) -> tuple[str, ...]:
    name = f"``{row['method']}``, {row['sign']}"
    name += f" ({row['model']}, {row['behavior']}, seed {row['seed']})" if several else ""
    effect = "" if row["effect"] is None else f"{row['effect']:.3g} [{row['effect_low']:.3g}, {row['effect_high']:.3g}]"
    broken = "" if row["dead"] is None else f"{row['dead']:.0%} (to {row['dead_high']:.0%})"
    coefficient, index = ("" if row[key] is None else f"{row[key]:.4g}" for key in ("coefficient", "index"))
    return name, row["verdict"], coefficient, effect, broken, index
