"""Do adapter families write into the same residual directions? Overlap of their leading ones, over chance."""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steerdose.columns import CELL
from steerdose.declarations.ablations import ANGLES
from steerdose.figures.part_styles import nothing
from steerdose.figures.style import drawing, save, title_of
from steerdose.files import read_tables


def plot_angles(*, angles: list[str], png: str, svg: str) -> None:
    """Draw `angles_figure`."""
    save(angles_figure(read_tables(angles, ANGLES) if angles else None), png, svg)


@drawing()
def angles_figure(angles: pl.DataFrame | None) -> Figure:
    """Draw a map a cell and number of directions: mean squared cosine of the principal angles, mean over layers."""
    if angles is None or angles["method"].n_unique() < 2:
        return nothing("one family alone was taken apart")
    cells = angles.partition_by(*CELL, maintain_order=True)
    widths = angles["width"].unique().sort().to_list()
    size = 1.1 + 0.5 * angles["method"].n_unique()
    figure = Figure((1.6 + size * len(widths), 0.6 + (size - 0.2) * len(cells)), layout="constrained")
    axes = figure.subplots(len(cells), len(widths), squeeze=False, sharey=True)
    image = None
    for row, cell in zip(axes, cells, strict=True):
        for each, width in zip(row, widths, strict=True):
            own = cell.filter(width=width)
            image = _draw(each, own, cell["method"].unique(maintain_order=True).to_list())
            chance = float(own["chance"][0]) if own.height else 0.0
            each.set_title(f"{width} directions, chance {chance:.0%}" if own.height else f"{width} directions")
        row[0].set_ylabel("\n".join(title_of(name, cell[name][0]) for name in CELL))
    figure.colorbar(image, ax=axes, label="overlap", shrink=0.7)  # type: ignore[arg-type]
    return figure


def _draw(axes: Axes, rows: pl.DataFrame, methods: list[str]) -> object:
    means = rows.group_by("method", "against").agg(pl.col("overlap").mean())
    values = np.full((len(methods), len(methods)), np.nan)
    for one, other, overlap in means.iter_rows():
        values[methods.index(one), methods.index(other)] = overlap
    image = axes.imshow(values, cmap="viridis", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            color = "black" if value > 0.5 else "white"
            axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7, color=color)
    axes.set_xticks(range(len(methods)), methods, rotation=60, ha="right")
    axes.set_yticks(range(len(methods)), methods)
    return image
