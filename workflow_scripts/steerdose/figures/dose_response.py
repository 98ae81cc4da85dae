"""The share of trajectories dead by the window against the dose, a panel a method."""

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, NullLocator

from steerdose.columns import CELL, METHOD, has_dose
from steerdose.declarations.dose import CALIBRATION
from steerdose.declarations.passed import DOSE_SHARES
from steerdose.declarations.survival import DOSE_RESPONSE
from steerdose.figures.calibration import MISSED, NOT_CONVERGED, chosen_doses
from steerdose.figures.choice import EVERY, extremes, note
from steerdose.figures.style import (
    HALO,
    SIGNS,
    Style,
    arrange,
    drawing,
    note_handles,
    panels_on,
    prompt_handles,
    prompt_looks,
    save,
    sparse,
)
from steerdose.files import read_table, read_tables
from steerdose.study.published import Panels, PlotCalibration
from steerdose.survival.dose_response import LETHAL

LINES = {"positive": "-", "negative": "--"}
BESIDE = {"positive": -1, "negative": 1}  # both signs of one dose stand side by side
LD50: Style = {"marker": "D", "markersize": 6, "markerfacecolor": "white", "markeredgewidth": 1.4, "linewidth": 2.4}
SAFE: Style = {"marker": "^", "markersize": 7, "linestyle": "", "clip_on": False}
BASE: Style = {"color": "0.4", "linestyle": ":", "linewidth": 1.2}
ROOM = 1.12  # from the outermost doses to the ends of the axis, a factor


def plot_dose_response(
    *, shares: str, table: str, calibrations: list[str], settings: PlotCalibration, png: str, svg: str
) -> None:
    """Draw `dose_response_figure` of the tables of doses."""
    marked = with_missed(read_table(table, DOSE_RESPONSE), read_tables(calibrations, CALIBRATION), settings)
    save(dose_response_figure(read_table(shares, DOSE_SHARES), marked, settings), png, svg)


def with_missed(table: pl.DataFrame, calibration: pl.DataFrame, settings: PlotCalibration) -> pl.DataFrame:
    """Return the table with `missed`: whether the dose of a row's method and sign did not reach its target."""
    chosen = chosen_doses(calibration, settings.tolerance, settings.statistic).filter("missed")
    missed = chosen.select(*METHOD, "sign", "missed").unique()
    joined = table.join(missed, on=[*METHOD, "sign"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("missed").fill_null(False))


def by_robustness(cell: pl.DataFrame) -> list[str]:
    """Return the methods of one cell's lethal doses, the one that bears most first.

    By the lethal dose of the positive sign, or of the negative one where there is no positive, then by the safe dose.
    """
    rank = pl.col("ld50").fill_null(pl.when(pl.col("status") == "above").then(np.inf).otherwise(0.0))
    leading = cell.with_columns(negative=pl.col("sign") == "negative", rank=rank).sort(
        "negative", "rank", "safe_dose", descending=[False, True, True], nulls_last=True, maintain_order=True
    )
    return leading["method"].unique(maintain_order=True).to_list()


@drawing()
def dose_response_figure(shares: pl.DataFrame, table: pl.DataFrame, panels: Panels = EVERY) -> Figure:
    """Draw what `dose_response` returns: points with intervals, the fitted curve, lethal dose and safe dose.

    The lethal dose stands at one half with its interval; where that is open it ends in an arrow at the axis's end. Of a
    lethal dose outside the doses tried only the arrow is drawn. Prompts and the unsteered model are horizontal lines in
    every panel of their cell. A sign whose dose `with_missed` marks has a cross in the upper left corner.
    """
    shares, table = extremes((shares, table), table, by_robustness, panels)
    steered = shares.filter(has_dose())
    prompts = shares.filter(~has_dose(), pl.col("alpha") != 0)
    looks = prompt_looks(prompts)
    doses = steered.filter(pl.col("alpha") != 0)["dose"].unique().sort().to_list() or [1.0]
    columns, rows = arrange(steered, CELL, "method", most=4)
    figure = Figure((2.2 + (4.2 if columns == 1 else 2.6) * columns, 0.6 + 2.5 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    first = axes[0, 0]
    first.set(ylim=(-0.12, 1.04), yticks=[0, 0.25, 0.5, 0.75, 1])
    dose_axis(first, doses)
    for (each,), title, panel in panels_on(rows, axes[:, None]):
        each.set_title(title)
        each.axhline(LETHAL, color="0.88", linewidth=0.8, zorder=0)
        for dead in panel.filter(alpha=0)["dead"]:
            each.axhline(dead, **BASE)
        here = prompts.join(panel, on=CELL, how="semi", maintain_order="left")
        for method, sign, dead in here.select("method", "sign", "dead").iter_rows():
            each.axhline(dead, **looks[method, sign], markevery=[1], clip_on=False)
        _draw_method(each, panel, table.join(panel, on=METHOD, how="semi", maintain_order="left"))
    figure.supxlabel("dose: |alpha|, multiples of the calibrated coefficient")
    figure.supylabel("share dead by the end of the window")
    shown = note(panels, "dose_response", "those that bear most and least")
    handles = [*_handles(table), *prompt_handles(looks), *note_handles(shown)]
    figure.legend(handles=handles, loc="outside right center")
    return figure


def _handles(table: pl.DataFrame) -> list[Line2D]:
    signs = [
        Line2D([], [], color=SIGNS[sign][0], marker=SIGNS[sign][1], linestyle=LINES[sign], label=f"{sign} sign")
        for sign in SIGNS
        if sign in table["sign"]
    ]
    missed = "missed" in table.columns and table["missed"].any()
    return [
        *signs,
        Line2D([], [], color="0.4", label="LD50 with interval", **LD50),
        Line2D([], [], color="0.4", label="safe dose", **SAFE),
        Line2D([], [], label="unsteered", **BASE),
        *([Line2D([], [], color="0.4", label=NOT_CONVERGED, **MISSED)] if missed else []),
    ]


def _draw_method(axes: Axes, panel: pl.DataFrame, estimates: pl.DataFrame) -> None:
    """Draw the curves of both signs of a method, with lethal and safe doses."""
    for row in estimates.iter_rows(named=True):
        apart = len(estimates) > 1
        _draw_curve(axes, panel.filter(pl.col("alpha") != 0, sign=row["sign"]), row["sign"], 0.008 * apart)
        height = LETHAL - 0.03 * apart * BESIDE[row["sign"]]
        if row["ld50"] is None:
            draw_beyond(axes, row, height, row["status"])
        else:
            draw_interval(axes, row, height, LD50)
        if row["safe_dose"] is not None:
            shared = (estimates["safe_dose"] == row["safe_dose"]).sum() > 1
            place = row["safe_dose"] * _aside(axes, row["sign"], 0.022 * shared)
            axes.plot([place], [-0.075], color=SIGNS[row["sign"]][0], **SAFE)
        if row.get("missed"):
            place = 0.06 if row["sign"] == "positive" else 0.16
            axes.plot([place], [0.92], color=SIGNS[row["sign"]][0], transform=axes.transAxes, **MISSED)


def dose_axis(axes: Axes, doses: list[float]) -> None:
    """Make x a logarithmic axis with ticks at doses that were tried, as many as have room."""
    axes.set(xscale="log", xlim=(doses[0] / ROOM, doses[-1] * ROOM) if len(doses) > 1 else (doses[0] / 2, doses[0] * 2))
    axes.xaxis.set(minor_locator=NullLocator(), minor_formatter=NullFormatter())
    ticks = sparse(axes, doses)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def draw_interval(axes: Axes, row: dict[str, Any], y: float, look: Style) -> None:
    """Draw a row's lethal dose and its interval at height y; open ends are arrows at the ends of the axis."""
    color = SIGNS[row["sign"]][0]
    left, right = axes.get_xlim()
    low, high = row["ld50_low"] or left, row["ld50_high"] or right
    line = {"color": color, "linewidth": look["linewidth"], "solid_capstyle": "butt", "zorder": 4}
    axes.plot([low, high], [y, y], path_effects=HALO, **line)
    for bound, status in (("ld50_low", "below"), ("ld50_high", "above")):
        if row[bound] is None:
            draw_beyond(axes, row, y, status)
    if row["ld50"] is not None:
        axes.plot([row["ld50"]], [y], color=color, zorder=5, **look)


def draw_beyond(axes: Axes, row: dict[str, Any], y: float, status: str) -> None:
    """Draw an arrow at the end of the axis that lies below or above all doses."""
    end, arrow = (axes.get_xlim()[0], "<") if status == "below" else (axes.get_xlim()[1], ">")
    axes.plot([end], [y], color=SIGNS[row["sign"]][0], marker=arrow, markersize=8, clip_on=False, zorder=4)


def _draw_curve(axes: Axes, curve: pl.DataFrame, sign: str, apart: float) -> None:
    color, marker = SIGNS[sign]
    curve = curve.sort("dose")
    place = curve["dose"].to_numpy() * _aside(axes, sign, apart)
    dead = curve["dead"].to_numpy()
    spans = np.abs(curve.select("dead_low", "dead_high").to_numpy().T - dead)
    axes.errorbar(place, dead, yerr=spans, color=color, marker=marker, markersize=4, linestyle="", elinewidth=0.8)
    axes.plot(curve["dose"], curve["fitted"], color=color, linestyle=LINES[sign], linewidth=1.2)


def _aside(axes: Axes, sign: str, apart: float) -> float:
    """Return the factor that moves a dose by `apart` of the axis's width, to the side of its sign."""
    left, right = axes.get_xlim()
    return (right / left) ** (BESIDE[sign] * apart)
