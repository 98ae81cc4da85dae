"""Do parts retain more than their share of the energy, and more than a random push of that energy?"""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from steerdose.declarations.ablations import ABLATIONS
from steerdose.figures.part_styles import (
    LOOKS,
    PLACE,
    POINT,
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

MATCHINGS = {"coefficient": "at the whole's coefficient", "kl": "at the whole's KL"}
LIMITS = (-0.5, 1.6)  # of retained; what lies outside is drawn at the edge
LEAST = 1e-3  # energy that is shown


def plot_retained(*, ablations: str, png: str, svg: str) -> None:
    """Draw `retained_figure`."""
    save(retained_figure(read_table(ablations, ABLATIONS)), png, svg)


@drawing()
def retained_figure(ablations: pl.DataFrame) -> Figure:
    """Draw what every part alone retains against its energy, a panel a method; grey: random copies of the delta."""
    rows = shown(ablations).with_columns(kind_of(), name_of())
    cells = rows.partition_by(PLACE, maintain_order=True)
    if not cells:
        return nothing("no delta with an effect was taken apart")
    single = rows.select("model", "behavior").n_unique() == 1
    figure, axes = panels(len(cells), 2.5, 2.1, rows=2)
    for i, (cell, pair) in enumerate(zip(cells, axes, strict=True)):
        for matching, each in zip(MATCHINGS, pair, strict=True):
            each.set_title(heading(cell.row(0, named=True), single) if each is pair[0] else "")
            _draw(each, cell, matching)
            if i == 0:
                each.set_ylabel(f"retained\n{MATCHINGS[matching]}")
    figure.supxlabel("energy of the part, as a share of the delta's")
    legend = [
        *handles(),
        Patch(facecolor="0.8", label="random deltas (range)"),
        Line2D([], [], color="0.6", linestyle=":", label="as much as its energy"),
    ]
    figure.legend(handles=legend, loc="outside right center")
    return figure


def _draw(axes: Axes, cell: pl.DataFrame, matching: str) -> None:
    axes.set_xscale("log")
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.axhline(1, color="0.8", linewidth=0.8, zorder=0)
    share = np.geomspace(LEAST, 1, 50)
    if matching == "coefficient":
        axes.plot(share, share, color="0.6", linestyle=":", linewidth=1)
    at = pl.col("at").str.starts_with("energy") | (pl.col("at") == "coefficient")
    copies = cell.filter(at if matching == "coefficient" else pl.col("at") == "kl", way="random")
    band = copies.group_by(pl.col("energy").round(3)).agg(
        pl.col("retained").min().alias("low"), pl.col("retained").max().alias("high")
    )
    if matching == "coefficient":
        band = band.sort("energy")
        axes.fill_between(band["energy"], band["low"], band["high"], color="0.8", lw=0, zorder=0)
    elif not band.is_empty():
        axes.axhspan(band["low"].min(), band["high"].max(), color="0.8", lw=0, zorder=0)  # type: ignore[arg-type]
    points = cell.filter(pl.col("kind").is_not_null(), side="keep", at=matching)
    for kind, look in LOOKS.items():
        own = points.filter(kind=kind)
        axes.plot(own["energy"], own["retained"].clip(*LIMITS), **POINT | look)
    parts = points.filter(pl.col("energy").is_between(LEAST, 0.6), pl.col("way") != "random_basis")
    best = parts.sort(pl.col("retained") - pl.col("energy"), descending=True).head(1)
    for name, energy, retained in best.select("name", "energy", "retained").iter_rows():
        place = (energy, min(retained, LIMITS[1]))
        axes.annotate(name, place, (-4, 2), textcoords="offset points", fontsize=7, ha="right")
    axes.set_xlim(LEAST, 1.3)
    axes.set_ylim(LIMITS[0] - 0.05, LIMITS[1] + 0.15)
