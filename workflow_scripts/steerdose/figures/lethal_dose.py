"""Lethal and safe doses of all methods side by side, at equal KL."""

from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from steerdose.columns import CELL
from steerdose.declarations.dose import CALIBRATION
from steerdose.declarations.passed import DOSE_SHARES
from steerdose.declarations.survival import DOSE_RESPONSE
from steerdose.figures.choice import EVERY, extremes, note, places
from steerdose.figures.dose_response import by_robustness, dose_axis, draw_interval, with_missed
from steerdose.figures.style import SIGNS, Style, drawing, note_title, save
from steerdose.files import read_table, read_tables
from steerdose.study.published import Panels, PlotCalibration
from steerdose.survival.dose_response import dose_text

LD50: Style = {"markersize": 6, "linewidth": 1.6}
HALF_ROW = 0.2  # from the middle of a method's row to each of its signs
STRIP = 1.6  # inches, with all members of an entry
MEMBER: Style = {"markersize": 4.5, "linestyle": "", "markerfacecolor": "none", "clip_on": False}


def plot_lethal_dose(
    *, shares: str, table: str, calibrations: list[str], settings: PlotCalibration, png: str, svg: str
) -> None:
    """Draw `lethal_dose_figure` of the tables of doses."""
    marked = with_missed(read_table(table, DOSE_RESPONSE), read_tables(calibrations, CALIBRATION), settings)
    save(lethal_dose_figure(read_table(shares, DOSE_SHARES), marked, settings), png, svg)


@drawing()
def lethal_dose_figure(shares: pl.DataFrame, table: pl.DataFrame, panels: Panels = EVERY) -> Figure:
    """Draw lethal doses with intervals and safe doses, a panel a cell, a row a method, both signs in one row.

    The methods are in the order of the study, since an order by estimate would say more than is known. Bars end at the
    safe dose, and start at the axis's end, since dose 0 has no place on a logarithmic axis. Words say where
    `with_missed` marks a dose. Below each cell the lethal doses of all members of an entry that has too many for rows
    of their own are points, in the entry's order.
    """
    (rows,) = extremes((table,), table, by_robustness, panels)
    cells = rows.partition_by(CELL, maintain_order=True)
    heights = []
    for cell in cells:
        heights += [0.6 + 0.36 * cell["method"].n_unique(), *[STRIP] * len(places(panels))]
    figure = Figure((9, 1.1 + sum(heights or [1])), layout="constrained")
    stack = figure.subplots(len(heights) or 1, 1, squeeze=False, sharex=True, height_ratios=heights or [1])[:, 0]
    doses = shares.filter(pl.col("fitted").is_not_null())["dose"].unique().sort().to_list() or [1.0]
    dose_axis(stack[0], doses)
    left = iter(stack)
    for cell in cells:
        axes = next(left)
        axes.set_title(", ".join(str(cell[name][0]) if name != "seed" else f"seed {cell[name][0]}" for name in CELL))
        _draw_cell(axes, cell, doses)
        every = table.join(cell, on=CELL, how="semi", maintain_order="left")
        for entry in places(panels):
            _draw_strip(next(left), every, entry, panels.members[entry], doses)
    if not cells:
        stack[0].set(title="no dose was rolled out", yticks=[])
    figure.supxlabel("dose: |alpha|, multiples of the calibrated coefficient")
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=SIGNS[sign][0], marker=SIGNS[sign][1], label=f"LD50, {sign} sign", **LD50)
        for sign in SIGNS
        if sign in table["sign"]
    ]
    handles.append(Patch(facecolor="0.85", label="safe"))
    title = note_title(note(panels, "dose_response", "those that bear most and least"), 9)
    figure.legend(handles=handles, loc="outside upper right", ncols=3, title=title)
    return figure


def _draw_cell(axes: Axes, cell: pl.DataFrame, doses: list[float]) -> None:
    methods = cell["method"].unique(maintain_order=True).to_list()
    both = cell["sign"].n_unique() > 1
    left = axes.get_xlim()[0]
    _draw_doses(axes, doses)
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


def _draw_doses(axes: Axes, doses: list[float]) -> None:
    for dose in doses:
        axes.axvline(dose, color="0.9", linewidth=0.8, zorder=0)


def _draw_strip(axes: Axes, table: pl.DataFrame, entry: str, members: tuple[str, ...], doses: list[float]) -> None:
    """Draw the lethal doses of all members from top to bottom; those beyond the doses are at the axis's ends."""
    _draw_doses(axes, doses)
    low, high = axes.get_xlim()
    beyond = pl.when(pl.col("status") == "above").then(high).otherwise(low)
    places = {member: row for row, member in enumerate(members)}
    seen = table.filter(pl.col("method").is_in(places)).with_columns(pl.col("ld50").fill_null(beyond))
    for (sign,), points in seen.group_by("sign", maintain_order=True):
        color, marker = SIGNS[str(sign)]
        heights = [places[method] for method in points["method"]]
        axes.plot(points["ld50"], heights, color=color, marker=marker, **MEMBER)
    axes.set_title(f"{entry}: LD50 of all {len(members)}", fontsize=9)
    axes.set_yticks([0, len(members) - 1], [members[0], members[-1]], fontsize=8)
    axes.set_ylim(len(members) - 0.5, -0.5)
    axes.tick_params(axis="y", left=False, pad=10)
    axes.spines["left"].set_visible(False)


def _words(row: dict[str, Any]) -> str:
    low, high = ("open" if row[bound] is None else f"{row[bound]:.3g}" for bound in ("ld50_low", "ld50_high"))
    missed = ", not converged" if row.get("missed") else ""
    return f"{dose_text(row)}  [{low}, {high}]{missed}"
