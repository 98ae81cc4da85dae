"""Which single layers are enough, and which are necessary? A row a method, a column a layer."""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steerdose.declarations.ablations import ABLATIONS
from steerdose.figures.part_styles import nothing, shown
from steerdose.figures.style import drawing, save, title_of
from steerdose.files import read_table

SIDES = {"keep": ("retained", "retained by the layer alone"), "drop": ("removed", "removed without the layer")}


def plot_layer_map(*, ablations: str, png: str, svg: str) -> None:
    """Draw `layer_figure`."""
    save(layer_figure(read_table(ablations, ABLATIONS)), png, svg)


@drawing()
def layer_figure(ablations: pl.DataFrame) -> Figure:
    """Draw two maps a model and behavior, at the whole's coefficient, with the percentages in their fields."""
    rows = shown(ablations).filter(way="layer", at="coefficient")
    cells = rows.partition_by("model", "behavior", maintain_order=True)
    if not cells:
        return nothing("no delta with an effect was taken apart by layer")
    wide = max(10, *(cell["part"].n_unique() for cell in cells))
    tall = sum(1.0 + 0.32 * cell["method"].n_unique() for cell in cells)
    figure = Figure((2.2 + 0.42 * wide, 0.4 + 2 * tall), layout="constrained")
    axes = figure.subplots(2 * len(cells), squeeze=False)[:, 0]
    image = None
    for i, (cell, (side, (column, told))) in enumerate((c, s) for c in cells for s in SIDES.items()):
        image = _draw(axes[i], cell.filter(side=side), column)
        place = ", ".join(title_of(name, cell[name][0]) for name in ("model", "behavior"))
        axes[i].set_title(f"{told} ({place})")
    axes[-1].set_xlabel("layer")
    figure.colorbar(image, ax=list(axes), label="share of the whole's effect", shrink=0.6)  # type: ignore[arg-type]
    return figure


def _draw(axes: Axes, cell: pl.DataFrame, column: str) -> object:
    methods = cell["method"].unique(maintain_order=True).to_list()
    layers = sorted(map(int, cell["part"].unique()))
    values = np.full((len(methods), len(layers)), np.nan)
    for method, part, value in cell.select("method", "part", column).iter_rows():
        values[methods.index(method), layers.index(int(part))] = value
    image = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    for (row, place), value in np.ndenumerate(values):
        if np.isfinite(value):
            color = "white" if abs(value) > 0.6 else "black"
            axes.text(place, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7, color=color)
    axes.set_xticks(range(len(layers)), list(map(str, layers)))
    axes.set_yticks(range(len(methods)), methods)
    return image
