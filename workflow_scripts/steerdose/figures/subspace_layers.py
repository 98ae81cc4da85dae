"""In which blocks do the best hypotheses hold what training changes?"""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from steerdose.declarations.subspaces import SUBSPACE_SCORES
from steerdose.figures.part_styles import heading, nothing
from steerdose.figures.style import drawing, method_styles, save
from steerdose.figures.subspace_styles import TARGETS, plain
from steerdose.files import read_tables
from steerdose.subspaces.causes import PLACE, widest

SHOWN = 6  # hypotheses, the best in the mean over blocks


def plot_subspace_layers(*, scores: list[str], png: str, svg: str) -> None:
    """Draw `layers_figure`."""
    save(layers_figure(read_tables(scores, SUBSPACE_SCORES)) if scores else nothing("no delta was swept"), png, svg)


@drawing()
def layers_figure(scores: pl.DataFrame) -> Figure:
    """Draw recovery against the block, the mean over seeds, with a band from the least to the most seed."""
    rows = widest(scores.filter(pl.col("target").is_in(list(TARGETS))))
    cells = rows.partition_by(*PLACE, "method", maintain_order=True)
    if not cells:
        return nothing("no delta was swept")
    single = rows.select(PLACE).n_unique() == 1
    figure = Figure((10, 0.6 + 4.1 * len(cells)), layout="constrained")
    for cell, row in zip(cells, figure.subplots(len(cells), 2, squeeze=False), strict=True):
        for axes, (target, told) in zip(row, TARGETS.items(), strict=True):
            _draw(axes, cell.filter(target=target))
            axes.set_title(f"{heading(cell.row(0, named=True), single)}: {told}")
            axes.set_xlabel("block")
        row[0].set_ylabel("recovery (chance: 1)")
    return figure


def _draw(axes: Axes, rows: pl.DataFrame) -> None:
    means = rows.group_by("subspace").agg(pl.col("recovery").mean()).sort("recovery", "subspace", descending=True)
    names = means["subspace"].head(SHOWN).to_list()
    blocks = rows.group_by("block").agg(pl.col("best").mean()).sort("block")
    axes.plot(blocks["block"], blocks["best"], color="black", linewidth=2.2, label="the best directions")
    for name, look in zip(names, list(method_styles(["black", *names]).values())[1:], strict=True):
        own = rows.filter(subspace=name).group_by("block").agg(
            pl.col("recovery").mean(), pl.col("recovery").min().alias("low"), pl.col("recovery").max().alias("high")
        ).sort("block")  # fmt: skip
        axes.plot(own["block"], own["recovery"], label=name, **look)
        axes.fill_between(own["block"], own["low"], own["high"], color=look["color"], alpha=0.12, linewidth=0)
    axes.axhline(1, color="0.5", linestyle="--", linewidth=0.8, zorder=0)
    axes.set(yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2)
    plain(axes.yaxis)
