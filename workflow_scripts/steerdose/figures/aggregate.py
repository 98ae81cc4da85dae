"""KL and the probe on one page: what the dose does to the next token, and what to the ability to answer."""

from collections.abc import Mapping

import polars as pl
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from steerdose.columns import CELL
from steerdose.declarations.passed import FORKS
from steerdose.engine.fork_grid import fork_times
from steerdose.figures.choice import EVERY, evenly, note, spread
from steerdose.figures.kl_fan import draw_fan, fan_handles
from steerdose.figures.kl_quantiles import fork_quantiles, read_quantiles
from steerdose.figures.style import (
    Style,
    arrange,
    drawing,
    fork_axis,
    grid_labels,
    kl_axis,
    note_handles,
    panel_grid,
    panels_on,
    save,
)
from steerdose.files import read_json, read_tables
from steerdose.study.published import Panels, PlotAggregate

READINGS: dict[str, Style] = {  # the steered points are smaller and lie on top
    "unsteered": {"marker": "s", "markersize": 6.5, "markerfacecolor": "none", "color": "0.55", "linestyle": ""},
    "steered": {"marker": "o", "markersize": 3.5, "color": "black", "linestyle": ""},
}
SPREAD: Style = {"color": "black", "linewidth": 1}
THRESHOLD: Style = {"color": "black", "linestyle": ":", "linewidth": 1.2}


def plot_aggregate(
    *,
    tokens: list[str],
    lifetimes: list[str],
    forks: list[str],
    thresholds: list[str],
    settings: PlotAggregate,
    png: str,
    svg: str,
) -> None:
    """Draw `aggregate_figure` of the tokens and forks of all methods that have a place.

    thresholds: files of the models, in the order of the settings.
    """
    grid = settings.grid
    edges = sorted({0, *fork_times(grid.window, count=grid.forks.count, every=grid.forks.every)})
    kl = read_quantiles(tokens, lifetimes, edges, spread(settings))
    pmass = fork_quantiles(evenly(read_tables(forks, FORKS), settings), grid.probe)
    files = zip(settings.models, thresholds, strict=True)
    deadly = {model: float(read_json(file)[grid.probe]["threshold"]) for model, file in files}
    save(aggregate_figure(kl, pmass, deadly, settings.fewest, settings), png, svg)


@drawing()
def aggregate_figure(
    kl: pl.DataFrame, pmass: pl.DataFrame, thresholds: Mapping[str, float], fewest: int, panels: Panels = EVERY
) -> Figure:
    """Draw KL (nats) above and pmass below, a pair of panels a dose, against tokens generated.

    kl: `kl_quantiles` with the fork times as edges: the tokens between two forks are one step. pmass: `fork_quantiles`,
    points at the forks alone; nothing is known between them. thresholds: of each model, the pmass of death. Both are
    drawn where at least `fewest` trajectories are left.
    """
    kl = evenly(kl, panels)
    times = sorted({0, *kl["stop"].unique()})
    keys = [*CELL, "method", "alpha"]
    forks = pmass.filter(pl.col("left") >= fewest).partition_by(keys, as_dict=True)
    columns, rows = arrange(kl.sort("alpha", maintain_order=True), (*CELL, "method"), "alpha", most=6)
    figure, axes = panel_grid(rows, columns, [1.15, 0.9])
    highest = float(kl["p90"].drop_nulls().to_numpy().max(initial=0))
    for (upper, lower), title, panel in panels_on(rows, axes):
        kl_axis(upper, highest)
        fork_axis(upper, times, labels=4)
        fork_axis(lower, times, labels=4)
        lower.set(ylim=(0, 1), yticks=[0, 0.5, 1])
        upper.set_title(title)
        draw_fan(upper, panel, fewest)
        lower.spines[["left", "bottom"]].set_position(("outward", 4))  # points at 0 stay clear of the axis line
        _draw_pmass(lower, forks.get(panel.select(keys).row(0), pmass.clear()))
        lower.axhline(thresholds[panel["model"][0]], **THRESHOLD)
    handles = [
        *fan_handles(),
        *[
            Line2D([], [], label=f"median pmass,\n{reading}", **READINGS[reading])
            for reading in ("steered", "unsteered")
            if reading in pmass["reading"]
        ],
        Line2D([], [], label="p10 to p90, steered", marker="|", markersize=12, **SPREAD | {"linestyle": ""}),
        Line2D([], [], label="threshold of pmass", **THRESHOLD),
        *note_handles(note(panels, "deaths")),
    ]
    quantity = "above: KL of steered against unsteered (nats), below: next-token mass on the two answers (pmass)"
    grid_labels(figure, "tokens generated", quantity, handles)
    return figure


def _draw_pmass(axes: Axes, pmass: pl.DataFrame) -> None:
    steered = pmass.filter(reading="steered")
    spans = [[(t, low), (t, high)] for t, low, high in steered.select("t", "p10", "p90").iter_rows()]
    axes.add_collection(LineCollection(spans, clip_on=False, **SPREAD), autolim=False)
    for reading, look in READINGS.items():
        points = pmass.filter(reading=reading)
        axes.plot(points["t"], points["p50"], clip_on=False, **look)
