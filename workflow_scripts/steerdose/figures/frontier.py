"""What an effect costs: benefit against each damage, a point a method and dose, with the frontier of the best."""

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from steerdose.benefit.effects import WORSE
from steerdose.columns import CELL, METHOD
from steerdose.declarations.benefit import EFFECTS
from steerdose.declarations.passed import DOSE_SHARES
from steerdose.figures.choice import evenly, note
from steerdose.figures.style import Style, drawing, method_styles, note_handles, save, title_of
from steerdose.files import read_table
from steerdose.study.published import PlotFrontier

BROKEN = "share broken by the window"
FRONT: Style = {"color": "0.75", "linewidth": 5, "solid_capstyle": "round", "zorder": 0}
HOLLOW: Style = {"color": "0.3", "marker": "o", "markerfacecolor": "white", "linewidth": 0}


def plot_frontier(*, effects: str, shares: str, settings: PlotFrontier, png: str, svg: str) -> None:
    """Draw `frontier_figure` of all methods."""
    points = costs(read_table(effects, EFFECTS), read_table(shares, DOSE_SHARES), settings)
    save(frontier_figure(points, settings), png, svg)


def costs(effects: pl.DataFrame, shares: pl.DataFrame, settings: PlotFrontier) -> pl.DataFrame:
    """Return a row a method, dose and cost: effect toward the dose's sign, cost (more is worse) and its name."""
    keys = (*METHOD, "alpha")
    found = []
    for behavior, (task, measure) in settings.effects.items():
        own = effects.filter(pl.col("alpha") != 0, behavior=behavior)
        gained = own.filter(task=task, measure=measure).select(*keys, pl.col("effect") * pl.col("alpha").sign())
        dead = shares.select(*keys, pl.col("dead").alias("cost"), pl.lit(BROKEN).alias("name"))
        lost = [
            own.filter(task=other, measure=part).select(
                *keys,
                (pl.col("effect") * (1 if part in WORSE else -1)).alias("cost"),
                pl.lit(f"{other}: {part} {'rises' if part in WORSE else 'falls'} by").alias("name"),
            )
            for other, part in settings.damages
        ]
        found += [gained.join(cost, on=keys, how="inner", maintain_order="left") for cost in (dead, *lost)]
    types: dict[str, Any] = {**{name: effects.schema[name] for name in keys}, "effect": pl.Float64, "cost": pl.Float64}
    return pl.concat(found) if found else pl.DataFrame(schema={**types, "name": pl.String})


def front(points: pl.DataFrame) -> pl.DataFrame:
    """Return the points that no other has as much effect for as little cost, by rising cost; those with an effect."""
    rising = points.filter(pl.col("effect") > 0).drop_nulls("cost").sort("cost", -pl.col("effect"))
    return rising.filter(pl.col("effect") > pl.col("effect").cum_max().shift(1, fill_value=0.0))


@drawing()
def frontier_figure(points: pl.DataFrame, settings: PlotFrontier) -> Figure:
    """Draw effect against cost, a row a cell, a panel a cost. The grey band joins the doses that no other beats."""
    points = evenly(points, settings)
    if points.is_empty():
        figure = Figure((6, 2), layout="constrained")
        figure.subplots().set(title="no task of the study shows its behavior", xticks=[], yticks=[])
        return figure
    names = points["name"].unique(maintain_order=True).to_list()
    looks = method_styles(points["method"].unique(maintain_order=True).to_list())
    cells = points.partition_by(CELL, maintain_order=True)
    figure = Figure((2.2 + 2.7 * len(names), 0.8 + 2.7 * len(cells)), layout="constrained")
    axes = figure.subplots(len(cells), len(names), squeeze=False, sharex="col", sharey="row")
    for row, cell in zip(axes, cells, strict=True):
        row[0].set_title(", ".join(title_of(name, cell[name][0]) for name in CELL))
        for each, name in zip(row, names, strict=True):
            _draw(each, cell.filter(name=name), looks)
    for each, name in zip(axes[-1], names, strict=True):
        each.set_xlabel(name)
    figure.supylabel("effect, toward the sign of the dose")
    handles = [Line2D([], [], label=method, **look) for method, look in looks.items()]
    if (points["alpha"] < 0).any():
        handles.append(Line2D([], [], label="hollow: negative sign", **HOLLOW))
    handles.append(Line2D([], [], label="no dose is better", **FRONT))
    figure.legend(handles=[*handles, *note_handles(note(settings, "effects"))], loc="outside right center")
    return figure


def _draw(axes: Axes, points: pl.DataFrame, looks: dict[str, Style]) -> None:
    best = front(points)
    axes.plot(best["cost"], best["effect"], **FRONT)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.axvline(0, color="0.8", linewidth=0.8, zorder=0)
    for method, look in looks.items():
        for sign in (1, -1):
            own = points.filter(pl.col("alpha") * sign > 0, method=method).sort(pl.col("alpha").abs())
            hollow = {"markerfacecolor": "white", "markeredgecolor": look["color"]} if sign < 0 else {}
            x, y = np.r_[0.0, own["cost"].to_numpy()], np.r_[0.0, own["effect"].to_numpy()]
            axes.plot(x, y, **look | hollow | {"linewidth": 1.0}, markevery=slice(1, None))
