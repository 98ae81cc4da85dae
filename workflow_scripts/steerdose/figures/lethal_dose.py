"""Lethal and safe doses of all methods side by side, at equal KL."""

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from steerdose.figures.dose_response import dose_axis, draw_interval
from steerdose.figures.style import CELL, SIGNS, Style, drawing
from steerdose.survival.dose_response import dose_text

LD50: Style = {"markersize": 6, "linewidth": 1.6}
HALF_ROW = 0.2  # from the middle of a method's row to each of its signs


@drawing()
def lethal_dose_figure(shares: pl.DataFrame, table: pl.DataFrame) -> Figure:
    """Draw lethal doses with intervals and safe doses, a panel a cell, a row a method, both signs in one row.

    The method that bears most is at the top: by the lethal dose of its positive sign, then by the safe dose. Bars end
    at the safe dose, and start at the axis's end, since dose 0 has no place on a logarithmic axis.
    """
    cells = table.partition_by(CELL, maintain_order=True)
    heights = [0.6 + 0.36 * cell["method"].n_unique() for cell in cells] or [1]
    figure = Figure((9, 1.1 + sum(heights)), layout="constrained")
    panels = figure.subplots(len(heights), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    doses = shares.filter(pl.col("fitted").is_not_null())["dose"].unique().sort().to_list() or [1.0]
    dose_axis(panels[0], doses)
    for axes, cell in zip(panels, cells, strict=False):
        axes.set_title(", ".join(str(cell[name][0]) if name != "seed" else f"seed {cell[name][0]}" for name in CELL))
        _draw_cell(axes, cell, doses)
    if not cells:
        panels[0].set(title="no dose was rolled out", yticks=[])
    figure.supxlabel("dose: |alpha|, multiples of the calibrated coefficient")
    handles = [
        Line2D([], [], color=SIGNS[sign][0], marker=SIGNS[sign][1], label=f"LD50, {sign} sign", **LD50)
        for sign in SIGNS
        if sign in table["sign"]
    ]
    figure.legend(handles=[*handles, Patch(facecolor="0.85", label="safe")], loc="outside upper right", ncols=3)
    return figure


def _draw_cell(axes: Axes, cell: pl.DataFrame, doses: list[float]) -> None:
    rank = pl.col("ld50").fill_null(pl.when(pl.col("status") == "above").then(np.inf).otherwise(0.0))
    leading = cell.with_columns(negative=pl.col("sign") == "negative", rank=rank).sort(
        "negative", "rank", "safe_dose", descending=[False, True, True], nulls_last=True, maintain_order=True
    )
    methods = leading["method"].unique(maintain_order=True).to_list()
    both = cell["sign"].n_unique() > 1
    left = axes.get_xlim()[0]
    for dose in doses:
        axes.axvline(dose, color="0.9", linewidth=0.8, zorder=0)
    for row in cell.iter_rows(named=True):
        y = methods.index(row["method"]) + HALF_ROW * both * (1 if row["sign"] == "negative" else -1)
        if row["safe_dose"] is not None:
            axes.barh(y, row["safe_dose"] - left, left=left, height=1.6 * HALF_ROW, color="0.85", zorder=1)
        draw_interval(axes, row, y, LD50 | {"marker": SIGNS[row["sign"]][1]})
        axes.text(1.03, y, _words(row), transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.set_yticks(range(len(methods)), methods)
    axes.set_ylim(len(methods) - 0.5, -0.5)
    axes.tick_params(axis="y", left=False, pad=10)  # clear of an arrow
    axes.spines["left"].set_visible(False)


def _words(row: dict[str, Any]) -> str:
    low, high = ("open" if row[bound] is None else f"{row[bound]:.3g}" for bound in ("ld50_low", "ld50_high"))
    return f"{dose_text(row)}  [{low}, {high}]"
