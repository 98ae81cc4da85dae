"""KL along every trajectory: a panel a dose, a line a trajectory that turns dark where it died."""

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from steerdose.columns import CELL, sign_of_alpha
from steerdose.declarations.dose import CALIBRATION
from steerdose.figures.choice import EVERY, evenly, note, spread
from steerdose.figures.kl_quantiles import read_lines
from steerdose.figures.style import (
    ALIVE,
    DEAD,
    END,
    HALO,
    Style,
    arrange,
    drawing,
    grid_labels,
    kl_axis,
    note_handles,
    panel_grid,
    panels_on,
    save,
    token_axis,
)
from steerdose.files import read_tables
from steerdose.study.published import Panels, PlotSpaghetti

MOST_VECTORS = 100_000  # points; more are drawn as pixels in the svg too
FEW = 3  # so many survivors among the dead lie above the median, which would hide them


def plot_spaghetti(
    *,
    tokens: list[str],
    lifetimes: list[str],
    calibrations: list[str],
    settings: PlotSpaghetti,
    png: str,
    svg: str,
) -> None:
    """Draw `spaghetti_figure` of the tokens of all methods that have a place."""
    lines, medians = read_lines(tokens, lifetimes, spread(settings), settings.smoothing)
    calibration = read_tables(calibrations, CALIBRATION)
    save(spaghetti_figure(lines, medians, calibration, settings.smoothing, settings.fewest, settings), png, svg)


def spaghetti_figure(
    lines: pl.DataFrame,
    medians: pl.DataFrame,
    calibration: pl.DataFrame,
    smoothing: int,
    fewest: int,
    panels: Panels = EVERY,
) -> Figure:
    """Draw KL (nats) against t; arguments as in `draw_spaghetti`, whose column `value` is kl.

    The dotted line is the target (nats) of the dose's sign, from the table of its calibration; prompts have none.
    """
    targets = calibration.select(*CELL, "method", "sign", "target").unique()
    lines = lines.with_columns(sign_of_alpha())
    lines = lines.join(targets, on=[*CELL, "method", "sign"], how="left", validate="m:1", maintain_order="left")
    levels = lines["target"].drop_nulls().unique()
    label = "target" + (f", {levels[0]:g} nats" if len(levels) == 1 else "")
    return draw_spaghetti(
        lines.rename({"target": "level"}),
        medians,
        "kl",
        "KL of steered against unsteered (nats)",
        label,
        smoothing,
        fewest,
        panels,
    )


@drawing()
def draw_spaghetti(
    lines: pl.DataFrame,
    medians: pl.DataFrame,
    value: str,
    quantity: str,
    level: str,
    smoothing: int,
    fewest: int,
    panels: Panels,
) -> Figure:
    """Draw a panel a dose: lines, the black median, ends, and the dotted line of column `level`.

    lines: as `thinned_lines` returns them, with a column `level`. medians: as `kl_quantiles` returns them; p50 is drawn
    while at least `fewest` trajectories are left. smoothing: tokens, 0 for none; only named here.
    """
    lines = evenly(lines, panels)
    order = lines.group_by(*CELL, "method", maintain_order=True).agg().with_row_index("row")
    lines = lines.join(order, on=[*CELL, "method"], maintain_order="left").sort("row", "alpha", maintain_order=True)
    columns, rows = arrange(lines, (*CELL, "method"), "alpha", most=6)
    rows = [[(title + _note(panel), panel) for title, panel in row] for row in rows]
    figure, axes = panel_grid(rows, columns, [1.3])
    highest = lines.select(pl.max_horizontal(pl.col(value).list.max(), "level").max()).item()
    window, many = medians["stop"].to_numpy().max(), lines["t"].list.len().sum() > MOST_VECTORS
    panel_keys = [*CELL, "method", "alpha"]
    middles = medians.partition_by(panel_keys, as_dict=True)
    for (each,), title, panel in panels_on(rows, axes):
        kl_axis(each, highest)
        token_axis(each, window)
        each.set_title(title)
        each.spines[["left", "bottom"]].set_position(("outward", 5))
        _draw_lines(each, panel, value, rasterized=many)
        for height in panel["level"].drop_nulls().unique():
            each.axhline(height, color="black", linestyle=":", linewidth=1.2)
        middle = middles[panel.select(panel_keys).row(0)]
        middle = middle.filter((pl.col("left") >= fewest) & pl.col("p50").is_not_null())
        each.plot(middle["stop"], middle["p50"], color="black", linewidth=1, clip_on=False, path_effects=HALO, zorder=3)
    quantity += f", centred mean of {smoothing} tokens" if smoothing else ""
    black: Style = {"color": "black", "linewidth": 1.2}
    handles = [
        Line2D([], [], color=ALIVE, label="unbroken"),
        Line2D([], [], color=DEAD, label="broken"),
        Line2D([], [], label=f"median, while {fewest}\nor more are left", **black),
        Line2D([], [], label=level, linestyle=":", **black),
        Line2D([], [], label="ended by itself", **END),
        *note_handles(note(panels, "deaths")),
    ]
    grid_labels(figure, "tokens generated", quantity, handles)
    return figure


def _note(panel: pl.DataFrame) -> str:
    shown, n = panel.select("shown", "n").row(0)
    return f"\n{shown} of {n} shown" if shown < n else ""


def _draw_lines(axes: Axes, panel: pl.DataFrame, value: str, rasterized: bool) -> None:
    """Draw the lines in the order of their prompts, so that neither colour covers the other where there are many.

    Those below the median belong to the figure, behind its transparent axes: all that lie there become one image in the
    svg, where lines of each axes would become an image of their own.
    """
    lives: list[list[tuple[np.ndarray, str]]] = []
    ends, deaths = [], 0
    columns = (panel[name] for name in ("t", value, "duration", "died", "ended"))
    for t, heights, duration, died, ended in zip(*columns, strict=True):
        points = np.column_stack([t, heights])
        if died:
            lives.append([(points[points[:, 0] <= duration], ALIVE), (points[points[:, 0] >= duration], DEAD)])
            deaths += 1
        else:
            lives.append([(points, ALIVE)])
        ends += [points[-1]] if ended else []
    few = deaths and 0 < len(lives) - deaths <= FEW
    whole = [part for parts in lives if not (few and len(parts) == 1) for part in parts]
    above = [parts[0] for parts in lives if few and len(parts) == 1]
    axes.patch.set_visible(False)
    axes.figure.add_artist(_collection(whole, transform=axes.transData, rasterized=rasterized, zorder=-1))
    axes.add_collection(_collection(above, zorder=3.5), autolim=False)
    if ends:
        axes.plot(*np.transpose(ends), clip_on=False, zorder=4, path_effects=HALO, **END)


def _collection(lines: list[tuple[np.ndarray, str]], **look: Any) -> LineCollection:
    segments, colors = [points for points, _ in lines], [color for _, color in lines]
    return LineCollection(segments, colors=colors, linewidths=0.5, clip_on=False, **look)
