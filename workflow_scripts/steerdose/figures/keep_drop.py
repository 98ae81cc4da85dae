"""Enough or necessary? What a part alone retains against what its loss removes."""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steerdose.ablation.claims import KEEPS
from steerdose.declarations.ablations import ABLATIONS
from steerdose.figures.part_styles import (
    LOOKS,
    PLACE,
    POINT,
    WHERE,
    handles,
    heading,
    kind_of,
    name_of,
    nothing,
    panels,
    shown,
)
from steerdose.figures.style import drawing, save
from steerdose.files import read_table

LIMITS = (-0.4, 1.4)
QUADRANTS = {(1, 1): "localised", (1, 0): "redundant", (0, 1): "bottleneck", (0, 0): "distributed"}


def plot_keep_drop(*, ablations: str, png: str, svg: str) -> None:
    """Draw `keep_drop_figure`."""
    save(keep_drop_figure(read_table(ablations, ABLATIONS)), png, svg)


def pairs(ablations: pl.DataFrame) -> pl.DataFrame:
    """Return a row a part that was read on both sides, at the whole's coefficient: retained and removed."""
    rows = shown(ablations).filter(at="coefficient").with_columns(kind_of(), name_of()).drop_nulls("kind")
    keys = [*PLACE, "way", "part"]
    drop = rows.filter(side="drop").select(*keys, "removed")
    return rows.filter(side="keep").drop("removed").join(drop, on=keys, how="inner", maintain_order="left")


@drawing()
def keep_drop_figure(ablations: pl.DataFrame) -> Figure:
    """Draw a panel a method, a point a part; the lines are where a part counts as enough, and as necessary."""
    cells = pairs(ablations).partition_by(PLACE, maintain_order=True)
    if not cells:
        return nothing("no delta with an effect was taken apart")
    single = len({tuple(cell.select("model", "behavior").row(0)) for cell in cells}) == 1
    figure, axes = panels(len(cells), 2.9, 2.7)
    for i, (cell, (each,)) in enumerate(zip(cells, axes, strict=True)):
        each.set_title(heading(cell.row(0, named=True), single))
        _draw(each, cell, named=i == 0)
    figure.supxlabel("retained by the part alone")
    figure.supylabel("removed without the part")
    figure.legend(handles=handles(), loc="outside right center")
    return figure


def _draw(axes: Axes, cell: pl.DataFrame, named: bool) -> None:
    for line in (axes.axhline, axes.axvline):
        line(KEEPS, color="0.6", linewidth=0.8, linestyle="--", zorder=0)
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=0.8, zorder=0)
    for kind, look in LOOKS.items():
        own = cell.filter(kind=kind)
        axes.plot(own["retained"].clip(*LIMITS), own["removed"].clip(*LIMITS), **POINT | look)
    best = cell.filter(kind=WHERE).sort("retained", descending=True).head(1)
    for name, x, y in best.select("name", "retained", "removed").iter_rows():
        place = (min(x, LIMITS[1]), max(min(y, LIMITS[1]), LIMITS[0]))
        axes.annotate(name, place, (-4, 3), textcoords="offset points", fontsize=7, ha="right")
    if named:
        corners = {0: LIMITS[0], 1: LIMITS[1]}
        for (x, y), text in QUADRANTS.items():
            sides = ("left" if x == 0 else "right", "bottom" if y == 0 else "top")
            axes.text(corners[x], corners[y], text, fontsize=7, color="0.35", ha=sides[0], va=sides[1])
    axes.set(xlim=(LIMITS[0] - 0.05, LIMITS[1] + 0.05), ylim=(LIMITS[0] - 0.05, LIMITS[1] + 0.05))
