"""Tables for readers: a standalone HTML page, and CSV."""

from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from steerdose.files import replacing

SURVIVAL_CAPTION = (
    "How long steered trajectories can still answer. alpha: dose as a multiple of the calibrated coefficient; "
    "1 is the positive and -1 the negative text of a prompt, which has no coefficient. "
    "n: trajectories; died: those that lost the ability to answer at some fork; censored: those still able to answer "
    "when they ended or reached the window. S(mid), S(end): Kaplan-Meier share still able to answer at half the window "
    "and at the window. median t: generated tokens until half of them no longer can, with its confidence interval. "
    "mean t: tokens until a trajectory no longer can, the window if it always can (restricted mean), with its interval."
)
STYLE = """\
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #222; }
table { border-collapse: collapse; }
caption { text-align: left; max-width: 52rem; padding-bottom: 1rem; }
th, td { padding: 0.25rem 0.75rem; text-align: right; border-bottom: 1px solid #ddd; }
td { font-variant-numeric: tabular-nums; }
th { border-bottom: 2px solid #222; }
"""


def write_csv(frame: pl.DataFrame, path: str | Path) -> None:
    """Write a table as CSV; a null is an empty field."""
    with replacing(path) as temporary:
        frame.write_csv(temporary)


def write_html(frame: pl.DataFrame, path: str | Path, *, title: str, caption: str, n_names: int = 4) -> None:
    """Write a table as one page without scripts or outside references; every string is escaped.

    The first `n_names` columns are names, set to the left. Floats have four significant digits; a null is empty.
    """
    header = _row([name.replace("_", " ") for name in frame.columns], "th")
    body = "\n".join(_row([_text(value) for value in row], "td") for row in frame.iter_rows())
    left = f"th:nth-child(-n+{n_names}), td:nth-child(-n+{n_names}) {{ text-align: left; }}\n"
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>\n{STYLE}{left}</style>\n</head>\n<body>\n<table>\n<caption>{escape(caption)}</caption>\n"
        f"<thead>\n{header}\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</body>\n</html>\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def survival_texts(summary: pl.DataFrame) -> pl.DataFrame:
    """Return `kaplan_meier`'s summary as readers see it: shares with three digits, median and mean with intervals."""
    low, median, high = (
        pl.col(name).cast(pl.String).fill_null("not reached") for name in ("median_low", "median_t", "median_high")
    )
    return summary.select(
        *("model", "behavior", "seed", "method", "alpha", "n", "died", "censored"),
        *[_fixed(name, 3).alias(f"S({name[2:]})") for name in ("s_mid", "s_end")],
        pl.format("{} [{}, {}]", median, low, high).alias("median t"),
        pl.format("{} [{}, {}]", *[_fixed(name, 1) for name in ("rmst", "rmst_low", "rmst_high")]).alias("mean t"),
    )


def _fixed(name: str, digits: int) -> pl.Expr:
    return pl.col(name).map_elements(f"{{:.{digits}f}}".format, pl.String)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _row(cells: list[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
