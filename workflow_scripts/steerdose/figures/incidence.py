"""What became of the trajectories, token by token: broken, ended, or still writing; a row a method, a panel a dose."""

from itertools import chain

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from steerdose.columns import METHOD, deciding
from steerdose.declarations.passed import CURVE
from steerdose.figures.choice import EVERY, evenly, note
from steerdose.figures.style import (
    ALIVE,
    DEAD,
    Style,
    arrange,
    drawing,
    grid_labels,
    note_handles,
    panel_grid,
    panels_on,
    save,
    token_axis,
)
from steerdose.files import read_tables
from steerdose.study.published import Panels

LAYERS: dict[str, Style] = {  # from below; neighbours differ in grey, and by hatching
    "incidence": {"facecolor": DEAD, "label": "broken"},
    "ended": {"facecolor": "white", "hatch": "....", "label": "ended its turn\nbefore it broke"},
    "rest": {"facecolor": ALIVE, "label": "still writing,\nunbroken"},
}
EDGE: Style = {"edgecolor": "0.35", "linewidth": 0.4}
MOST = 9  # doses beside each other


def plot_incidence(*, curves: list[str], settings: Panels, png: str, svg: str) -> None:
    """Draw `incidence_figure` of the curves of all methods."""
    save(incidence_figure(read_tables(curves, CURVE).filter(deciding()), settings), png, svg)


@drawing({"hatch.linewidth": 0.5})
def incidence_figure(curve: pl.DataFrame, panels: Panels = EVERY) -> Figure:
    """Draw the cumulative incidence of death and of the end of turn, stacked: what is left of 1 is still writing.

    curve: as `estimate` returns it, of one endpoint. Unlike a Kaplan-Meier curve, which asks what would be if nobody
    ended its turn, these shares are of all trajectories, and add up.
    """
    curve = evenly(curve, panels).sort("alpha", maintain_order=True)
    ordered = [each.sort("alpha", "t") for each in curve.partition_by(METHOD, maintain_order=True)]
    columns, rows = arrange(pl.concat(ordered), METHOD, "alpha", most=MOST)
    window = int(curve["t"].max())  # type: ignore[arg-type]
    figure, axes = panel_grid(rows, columns, heights=[0.9], width=1.1)
    for (each,), title, panel in panels_on(rows, axes):
        each.set_title(title, fontsize=9)
        token_axis(each, window)
        each.set(ylim=(0, 1), yticks=[0, 0.5, 1])
        _draw_layers(each, panel)
    handles = [Patch(**look, **EDGE) for look in reversed(LAYERS.values())]
    shown = note_handles(note(panels, "survival"))
    grid_labels(figure, "tokens generated", "share of trajectories", [*chain(handles, shown)])
    return figure


def _draw_layers(axes: Axes, panel: pl.DataFrame) -> None:
    t = panel["t"].to_numpy()
    foot = np.zeros(len(t))
    shares = {name: panel[name].to_numpy() for name in ("incidence", "ended")}
    for name, look in LAYERS.items():
        top = np.ones(len(t)) if name == "rest" else foot + shares[name]
        own = {key: value for key, value in look.items() if key != "label"}
        axes.fill_between(t, foot, top, step="post", **own, **EDGE)
        foot = top
