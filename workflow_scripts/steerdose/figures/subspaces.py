"""Do directions that were known before training hold what it changes, in the stream and in the weights?"""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from steerdose.declarations.subspaces import SUBSPACES
from steerdose.figures.part_styles import PLACE, heading, nothing
from steerdose.figures.style import drawing, place_names, save
from steerdose.figures.subspace_styles import LOOKS, kind_handles, plain
from steerdose.files import read_table

WIDTH = 8  # directions; less where no basis is so wide
SIDES = {"written or mixed": ("write", "mixed"), "read": ("read",)}
NAMED = 3  # hypotheses with a name, of each panel


def plot_subspaces(*, subspaces: str, png: str, svg: str) -> None:
    """Draw `subspaces_figure`."""
    save(subspaces_figure(read_table(subspaces, SUBSPACES)), png, svg)


@drawing()
def subspaces_figure(subspaces: pl.DataFrame) -> Figure:
    """Draw recovery of the stream's change against that of the weights, a row of two panels a method."""
    most = subspaces.filter(pl.col("seeds") == pl.col("seeds").max().over(PLACE), pl.col("width") <= WIDTH)
    wide = most.filter(pl.col("width") == pl.col("width").max(), pl.col("target").is_in(["stream", "written"]))
    keys = [*PLACE, "subspace", "axis", "width"]
    points = wide.pivot("target", index=keys, values=["recovery", "best"]) if not wide.is_empty() else wide
    if points.is_empty() or "recovery_written" not in points.columns:
        return nothing("no delta was looked for in subspaces")
    cells = points.drop_nulls().partition_by(PLACE, maintain_order=True)
    single = points.select("model", "behavior").n_unique() == 1
    figure = Figure((9, 0.9 + 2.7 * len(cells)), layout="constrained")
    grid = figure.subplots(len(cells), 2, squeeze=False, sharex=True, sharey=True)
    names: dict[Axes, list[Text]] = {}
    for cell, row in zip(cells, grid, strict=True):
        for axes, (side, kinds) in zip(row, SIDES.items(), strict=True):
            names[axes] = _draw(axes, cell, kinds)
            axes.set_title(f"{heading(cell.row(0, named=True), single)}: {side}")
        row[0].set_ylabel("recovery of what the\nweights write (chance: 1)")
    width = points["width"][0]
    figure.supxlabel(f"recovery of the change of the stream (chance: 1), {width} directions")
    star = Line2D([], [], linestyle="", marker="*", color="black", markersize=11, label="the best directions")
    figure.legend(handles=[*kind_handles(), star], loc="outside right center")
    place_names(figure, names)
    return figure


def _draw(axes: Axes, cell: pl.DataFrame, kinds: tuple[str, ...]) -> list[Text]:
    """Draw a panel and return the names of its highest points, which stand where these do."""
    axes.set(xscale="log", yscale="log")
    axes.axhline(1, color="0.5", linestyle="--", linewidth=0.8, zorder=0)
    axes.axvline(1, color="0.5", linestyle="--", linewidth=0.8, zorder=0)
    own = cell.filter(pl.col("axis").is_in(kinds))
    for kind in kinds:
        there = own.filter(axis=kind)
        axes.plot(there["recovery_stream"], there["recovery_written"], linestyle="", alpha=0.8, **LOOKS[kind])
    star = cell.select(pl.col("best_stream", "best_written").mean()).row(0)
    axes.plot(*star, marker="*", color="black", markersize=11)
    plain(axes.xaxis)
    plain(axes.yaxis)
    best = own.sort("recovery_stream", descending=True).head(NAMED)
    places = best.select("recovery_stream", "recovery_written", "subspace").iter_rows()
    return [axes.text(x, y, name, fontsize=7) for x, y, name in places]
