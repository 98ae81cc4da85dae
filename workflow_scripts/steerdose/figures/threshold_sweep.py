"""The share dead at every dose and threshold of death, a panel a method: does the picture hang on the threshold?"""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETDOWN
from matplotlib.patches import Rectangle

from steerdose.columns import CELL
from steerdose.declarations.passed import THRESHOLD_SHARES
from steerdose.declarations.survival import THRESHOLD_SWEEP
from steerdose.figures.choice import EVERY, evenly, note
from steerdose.figures.style import HALO, SIGNS, Style, arrange, drawing, note_title, panels_on, save
from steerdose.files import read_table
from steerdose.study.published import Panels

SHADES = "Greys"
LINE: Style = {"linewidth": 1.4, "markersize": 5, "markeredgecolor": "white", "markeredgewidth": 0.6}
SET: Style = {"color": "black", "marker": CARETDOWN, "markersize": 6, "linestyle": "", "clip_on": False}


def plot_threshold_sweep(*, shares: str, table: str, settings: Panels, png: str, svg: str) -> None:
    """Draw `threshold_sweep_figure` of the tables of the threshold sweep."""
    save(
        threshold_sweep_figure(read_table(shares, THRESHOLD_SHARES), read_table(table, THRESHOLD_SWEEP), settings),
        png,
        svg,
    )


@drawing()
def threshold_sweep_figure(shares: pl.DataFrame, doses: pl.DataFrame, panels: Panels = EVERY) -> Figure:
    """Draw `threshold_sweep`: a column a threshold, a row an alpha, the darker the more are dead by the window.

    Rows and columns are evenly spaced. Lines join the lethal doses of a sign, between rows in log dose, and stop where
    one lies outside the doses tried. The row of alpha 0 is the unsteered model: the noise floor of each threshold.
    """
    shares = evenly(shares, panels)
    values = shares["value"].unique().sort().to_list()
    alphas = shares["alpha"].unique().sort().to_list()
    columns, rows = arrange(shares, CELL, "method", most=4)
    sizes = (1.0 + max(1.2, 0.22 * len(values)) * max(columns, 2), 1.4 + (0.5 + 0.2 * max(len(alphas), 4)) * len(rows))
    figure = Figure((sizes[0] + 1.2, sizes[1]), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    first = axes[0, 0]
    first.set(xlim=(-0.5, len(values) - 0.5), ylim=(-0.5, len(alphas) - 0.5))
    first.set_xticks(range(len(values)), [f"{value:g}" for value in values])
    first.set_yticks(range(len(alphas)), [f"{alpha:g}" for alpha in alphas], fontsize=8)
    configured = shares.filter("configured")["value"].unique().to_list()
    for (each,), title, panel in panels_on(rows, axes[:, None]):
        each.set_title(title, pad=10)  # above the mark of the configured threshold
        each.tick_params(length=0)
        each.tick_params(axis="x", rotation=90)
        each.spines[:].set_visible(False)
        _draw_cells(each, panel, values, alphas)
        each.plot([values.index(value) for value in configured], [len(alphas) - 0.5] * len(configured), **SET)
        lethal = doses.join(panel, on=[*CELL, "method"], how="semi", maintain_order="left")
        for line in lethal.partition_by("sign", maintain_order=True):
            _draw_lethal(each, line.sort("value"), values, alphas)
    figure.supxlabel("threshold of death, as survival.threshold counts it")
    figure.supylabel("alpha (multiple of\nthe calibrated coefficient)")
    shrink = min(1, 3 / sizes[1])
    shade = figure.colorbar(ScalarMappable(cmap=SHADES), ax=figure.axes, fraction=0.04, aspect=30, shrink=shrink)
    shade.set_label("share dead by the window")
    signs = [
        Line2D([], [], color=SIGNS[sign][0], marker=SIGNS[sign][1], label=f"LD50, {sign} sign", **LINE)
        for sign in SIGNS
        if sign in doses["sign"]
    ]
    handles = [*signs, Line2D([], [], label="threshold set", **SET)]
    heading = note_title(note(panels, "threshold_sweep"), sizes[0])
    figure.legend(handles=handles, loc="outside upper right", ncols=3, title=heading)
    return figure


def _draw_cells(axes: Axes, panel: pl.DataFrame, values: list[float], alphas: list[float]) -> None:
    rows = panel.select("value", "alpha", "dead").rows()
    squares = [Rectangle((values.index(v) - 0.5, alphas.index(a) - 0.5), 1, 1) for v, a, _ in rows]
    dead = np.array([share for *_, share in rows])
    cells = PatchCollection(squares, cmap=SHADES, edgecolor="0.75", linewidth=0.4)
    cells.set(array=dead, clim=(0, 1))
    axes.add_collection(cells)


def _draw_lethal(axes: Axes, line: pl.DataFrame, values: list[float], alphas: list[float]) -> None:
    """Draw the lethal doses of one sign; on the evenly spaced rows a dose between two lies between them in log dose."""
    sign = line["sign"][0]
    own = [(abs(a), row) for row, a in enumerate(alphas) if a and (a > 0) == (sign == "positive")]
    doses, places = np.array(sorted(own)).T
    ld50 = line["ld50"].to_numpy().astype(float)  # null to nan: a gap in the line
    heights = np.where(np.isnan(ld50), np.nan, np.interp(np.log(ld50), np.log(doses), places))
    color, marker = SIGNS[sign]
    x = [values.index(value) for value in line["value"]]
    axes.plot(x, heights, color=color, marker=marker, path_effects=HALO, clip_on=False, zorder=3, **LINE)
