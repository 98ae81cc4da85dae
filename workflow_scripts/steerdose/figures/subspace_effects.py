"""Does what a hypothesis recovers of a delta predict what the part in its directions does to the model?"""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from steerdose.declarations.subspaces import SUBSPACE_PARTS, SUBSPACES
from steerdose.figures.part_styles import heading, nothing
from steerdose.figures.style import drawing, save
from steerdose.figures.subspace_styles import LOOKS, TARGETS, kind_handles, plain
from steerdose.files import read_table
from steerdose.subspaces.causes import PLACE, controls, correlation, over_seeds, pairs, scored

MATCHED = {"coefficient": "at the whole's coefficient", "kl": "at the whole's KL"}
NAMED = 3  # hypotheses with a name, of each panel
MOST = 2.0  # share of the effect: beyond it the axis is cut, and what lies there stands at its edge


def plot_subspace_effects(*, subspaces: str, parts: str, png: str, svg: str) -> None:
    """Draw `effects_figure`."""
    save(effects_figure(read_table(subspaces, SUBSPACES), read_table(parts, SUBSPACE_PARTS)), png, svg)


@drawing()
def effects_figure(subspaces: pl.DataFrame, parts: pl.DataFrame) -> Figure:
    """Draw share of the effect against recovery: a row a method and matching, a column a target of the scores."""
    rows = list(pairs(scored(subspaces, parts)))
    if not rows:
        return nothing("no whole has an effect that its parts could have")
    single = len({place[:2] for place, _ in rows}) == 1
    figure = Figure((9.5, 1.1 + 2.4 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 2, squeeze=False, sharex="col", sharey="row")
    for (place, points), row in zip(rows, grid, strict=True):
        at, key = place[-1], dict[str, object](zip((*PLACE, "method"), place, strict=False))
        beside = controls(over_seeds(parts)).filter(
            *(pl.col(name) == value for name, value in key.items()), pl.col("at") == at, pl.col("side") == "keep"
        )
        for axes, target in zip(row, TARGETS, strict=True):
            _draw(axes, points, beside, target)
            found = correlation(points, target)
            told = f": rank correlation {found[0]:.2f}, p {found[1]:.2g}" if found else ""
            axes.set_title(f"{heading(key, single)}, {MATCHED[at]}{told}", fontsize=9)
        row[0].set_ylabel("share of the\nwhole's effect")
        row[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for axes, told in zip(grid[-1], TARGETS.values(), strict=True):
        axes.set_xlabel(f"recovery of {told} (chance: 1)")
    figure.legend(handles=_handles(), loc="outside lower center", ncols=6)
    return figure


def _draw(axes: Axes, points: pl.DataFrame, beside: pl.DataFrame, target: str) -> None:
    axes.set(xscale="log")
    axes.axvline(1, color="0.5", linestyle="--", linewidth=0.8, zorder=0)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    random = beside.filter(pl.col("part").str.starts_with("random"))["retained"].drop_nulls().clip(-MOST, MOST)
    if not random.is_empty():
        axes.axhspan(min(random), max(random), color="0.85", zorder=0)
    for part, line in (("written", "-"), ("own-", ":")):
        for share in beside.filter(pl.col("part").str.starts_with(part))["retained"].drop_nulls():
            axes.axhline(min(share, MOST), color="black", linestyle=line, linewidth=1.0, zorder=1)
    shown = points.drop_nulls([target, "retained"]).with_columns(pl.col("retained").clip(-MOST, MOST))
    for axis, look in LOOKS.items():
        own = shown.filter(axis=axis)
        axes.plot(own[target], own["retained"], linestyle="", markersize=4.5, alpha=0.8, **look)
    best = shown.sort("retained", descending=True).head(NAMED)
    left, right = axes.get_xlim()
    middle = best[target].log().mean() or 0.0  # the names stand on the side where the points do not
    place, align = (0.02, "left") if middle > np.log(left * right) / 2 else (0.98, "right")
    for i, row in enumerate(best.iter_rows(named=True)):
        axes.annotate(
            row["subspace"], (row[target], row["retained"]), (place, 0.92 - 0.11 * i), textcoords="axes fraction",
            fontsize=7, ha=align, arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.6},
        )  # fmt: skip
    plain(axes.xaxis)


def _handles() -> list[Line2D]:
    return [
        *kind_handles(),
        Line2D([], [], color="0.85", linewidth=7, label="random directions"),
        Line2D([], [], color="black", linestyle=":", label="its own directions"),
        Line2D([], [], color="black", label="all that is written"),
    ]
