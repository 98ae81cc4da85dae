"""The survival summary for readers: a standalone HTML page, and CSV."""

from html import escape
from pathlib import Path

import polars as pl

from .tables import replacing

COLUMNS = ("model", "behavior", "seed", "method", "alpha", "n", "died", "censored", "S(mid)", "S(end)", "median t")
CAPTION = (
    "How long steered trajectories can still answer. alpha: dose as a multiple of the calibrated coefficient. "
    "n: trajectories; died: those that lost the ability to answer at some fork; censored: those still able to answer "
    "when they ended or reached the window. S(mid), S(end): Kaplan-Meier share still able to answer at half the window "
    "and at the window. median t: generated tokens until half of them no longer can, with its confidence interval."
)
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #222; }
table { border-collapse: collapse; }
caption { text-align: left; max-width: 52rem; padding-bottom: 1rem; }
th, td { padding: 0.25rem 0.75rem; text-align: right; border-bottom: 1px solid #ddd; }
td { font-variant-numeric: tabular-nums; }
th { border-bottom: 2px solid #222; }
th:nth-child(-n+4), td:nth-child(-n+4) { text-align: left; }
"""


def write_csv(summary: pl.DataFrame, path: str | Path) -> None:
    """Write `kaplan_meier`'s summary; a null is an empty field."""
    with replacing(path) as temporary:
        summary.write_csv(temporary)


def write_html(summary: pl.DataFrame, path: str | Path) -> None:
    """Write `kaplan_meier`'s summary as one page without scripts or outside references; every string is escaped."""
    header = _row(COLUMNS, "th")
    body = "\n".join(_row(_cells(row), "td") for row in summary.iter_rows(named=True))
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Survival</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<table>\n<caption>{escape(CAPTION)}</caption>\n"
        f"<thead>\n{header}\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</body>\n</html>\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _cells(row: dict) -> list[str]:
    """Texts of one summary row, in the order of `COLUMNS`."""
    median, low, high = (
        "not reached" if row[name] is None else str(row[name]) for name in ("median_t", "median_low", "median_high")
    )
    counts = [str(row[name]) for name in ("n", "died", "censored")]
    shares = [f"{row[name]:.3f}" for name in ("s_mid", "s_end")]
    keys = [str(row[name]) for name in ("model", "behavior", "seed", "method")]
    return [*keys, f"{row['alpha']:g}", *counts, *shares, f"{median} [{low}, {high}]"]


def _row(cells: list[str] | tuple[str, ...], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
