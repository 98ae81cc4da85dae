"""Do hypotheses keep their order over adapter seeds and prompts?"""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from steerdose.declarations.subspaces import SUBSPACES
from steerdose.figures.part_styles import heading, nothing
from steerdose.figures.style import MARKERS, drawing, save
from steerdose.figures.subspace_styles import LOOKS, TARGETS, kind_handles, plain
from steerdose.files import read_table
from steerdose.subspaces.causes import PLACE, over_seeds, widest


def plot_subspace_stability(*, subspaces: str, png: str, svg: str) -> None:
    """Draw `stability_figure`."""
    save(stability_figure(read_table(subspaces, SUBSPACES)), png, svg)


@drawing()
def stability_figure(subspaces: pl.DataFrame) -> Figure:
    """Draw a row a hypothesis: its recovery in every seed, the mean and its interval; two panels a method."""
    rows = widest(subspaces).filter(pl.col("target").is_in(list(TARGETS)))
    cells = rows.partition_by(*PLACE, "method", maintain_order=True)
    if not cells:
        return nothing("no delta was looked for in subspaces")
    single = rows.select(PLACE).n_unique() == 1
    most = max(cell["subspace"].n_unique() for cell in cells)
    figure = Figure((10, (1.0 + 0.19 * most) * len(cells)), layout="constrained")
    grid = figure.subplots(len(cells), 2, squeeze=False, sharey="row")
    for cell, row in zip(cells, grid, strict=True):
        pooled = over_seeds(cell).filter(target="stream").sort("recovery")
        names = pooled["subspace"].to_list()
        for axes, (target, told) in zip(row, TARGETS.items(), strict=True):
            _draw(axes, cell.filter(target=target), names)
            axes.set_title(f"{heading(cell.row(0, named=True), single)}: {told}")
            axes.set_xlabel("recovery (chance: 1)")
        row[0].set_yticks(range(len(names)), names, fontsize=7)
        row[0].set_ylim(-0.7, len(names) - 0.3)
    seeds = sorted(rows["seed"].drop_nulls().unique())
    marks = [_mark(i, label=f"seed {seed}") for i, seed in enumerate(seeds)]
    bar = Line2D([], [], color="0.4", linewidth=1.2, label="mean and interval, over prompts and seeds")
    figure.legend(handles=[*marks, *kind_handles(), bar], loc="outside lower center", ncols=4)
    return figure


def _mark(i: int, label: str | None = None) -> Line2D:
    look = {"marker": MARKERS[i % len(MARKERS)], "markerfacecolor": "none", "color": "0.45", "markersize": 3.5}
    return Line2D([], [], linestyle="", label=label, **look)  # type: ignore[arg-type]


def _draw(axes: Axes, rows: pl.DataFrame, names: list[str]) -> None:
    axes.set(xscale="log")
    axes.axvline(1, color="0.5", linestyle="--", linewidth=0.8, zorder=0)
    place = {name: i for i, name in enumerate(names)}
    for i, (_, own) in enumerate(rows.filter(pl.col("seed").is_not_null()).group_by("seed", maintain_order=True)):
        mark = _mark(i)
        mark.set_data(own["recovery"].to_list(), [place[name] for name in own["subspace"]])
        mark.set_transform(axes.transData)
        axes.add_line(mark)
    for row in over_seeds(rows).iter_rows(named=True):
        height, look = place[row["subspace"]], LOOKS[row["axis"]]
        if row["low"] is not None:
            axes.plot([row["low"], row["high"]], [height, height], color="0.4", linewidth=1.2, zorder=1)
        axes.plot([row["recovery"]], [height], linestyle="", markersize=4.5, zorder=3, **look)
    axes.grid(axis="y", color="0.93", linewidth=0.6)
    axes.set_axisbelow(True)
    plain(axes.xaxis)
