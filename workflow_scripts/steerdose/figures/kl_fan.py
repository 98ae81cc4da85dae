"""KL along the rollout as quantiles over trajectories, and how many trajectories they are over."""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from steerdose.columns import CELL
from steerdose.figures.choice import EVERY, evenly, note, spread
from steerdose.figures.kl_quantiles import even_edges, read_quantiles
from steerdose.figures.style import (
    END,
    Style,
    arrange,
    drawing,
    grid_labels,
    kl_axis,
    note_handles,
    panel_grid,
    panels_on,
    save,
    token_axis,
)
from steerdose.study.published import Panels, PlotKlFan

BINS = 32  # along t: a panel shows no more
OUTER, INNER = "#C3D7E8", "#86AECB"
LEFT: Style = {"facecolor": "0.8"}
FEW_LEFT: Style = {"facecolor": "white", "edgecolor": "0.6", "hatch": "////", "linewidth": 0}


def plot_kl_fan(*, tokens: list[str], lifetimes: list[str], settings: PlotKlFan, png: str, svg: str) -> None:
    """Draw `kl_fan_figure` of the tokens of all methods that have a place."""
    quantiles = read_quantiles(tokens, lifetimes, even_edges(settings.window, BINS), spread(settings))
    save(kl_fan_figure(quantiles, settings.fewest, settings), png, svg)


@drawing()
def kl_fan_figure(quantiles: pl.DataFrame, fewest: int, panels: Panels = EVERY) -> Figure:
    """Draw `kl_quantiles` (nats) of every method and dose, with the number of trajectories still generating below.

    Quantiles are drawn while at least `fewest` trajectories are left; those that ended are no random choice, so past
    that point, hatched, the rest says little about all.
    """
    quantiles = evenly(quantiles, panels)
    columns, rows = arrange(quantiles.sort("alpha", maintain_order=True), (*CELL, "method"), "alpha", most=6)
    figure, axes = panel_grid(rows, columns, [1.2, 0.4])
    highest = float(quantiles["p90"].drop_nulls().to_numpy().max(initial=0))
    window, most = quantiles["stop"].to_numpy().max(), quantiles["n"].max()
    for (upper, lower), title, panel in panels_on(rows, axes):
        kl_axis(upper, highest)
        for each in (upper, lower):
            token_axis(each, window)
        lower.set(ylim=(0, most), yticks=[0, most])
        upper.set_title(title)
        draw_fan(upper, panel, fewest)
        _draw_left(lower, panel, fewest)
    width = quantiles["stop"][0] - quantiles["start"][0]
    handles = [
        *fan_handles(),
        Patch(label="trajectories left", **LEFT),
        Patch(label=f"fewer than {fewest} left", **FEW_LEFT),
        Line2D([], [], label="some ended by\nthemselves", **END),
        *note_handles(note(panels, "deaths")),
    ]
    title = "over trajectories" + (f"\nand {width} tokens" if width > 1 else "")
    grid_labels(figure, "tokens generated", "KL of steered against unsteered (nats)", handles, title)
    return figure


def fan_handles() -> list[Patch | Line2D]:
    """Return the legend's entries of `draw_fan`."""
    return [
        Line2D([], [], color="black", label="median"),
        Patch(facecolor=INNER, label="p25 to p75"),
        Patch(facecolor=OUTER, label="p10 to p90"),
    ]


def draw_fan(axes: Axes, panel: pl.DataFrame, fewest: int) -> None:
    """Draw the quantiles of one dose as steps over their bins, as far as `fewest` trajectories are left."""
    enough = panel.filter((pl.col("left") >= fewest) & pl.col("p50").is_not_null())
    if enough.is_empty():
        return
    edges = np.r_[enough["start"], enough["stop"][-1]]
    p = {name: np.r_[enough[name], enough[name][-1]] for name in ("p10", "p25", "p50", "p75", "p90")}
    look: Style = {"step": "post", "linewidth": 0, "clip_on": False}
    axes.fill_between(edges, p["p10"], p["p90"], facecolor=OUTER, **look)
    axes.fill_between(edges, p["p25"], p["p75"], facecolor=INNER, **look)
    axes.plot(edges, p["p50"], color="black", linewidth=1.1, drawstyle="steps-post", clip_on=False)


def _draw_left(axes: Axes, panel: pl.DataFrame, fewest: int) -> None:
    n, left = panel["n"][0], panel["left"].to_numpy()
    edges = np.r_[panel["start"], panel["stop"][-1]]
    axes.fill_between(edges, np.r_[left, left[-1]], step="post", linewidth=0, **LEFT)
    few = panel.filter(pl.col("left") < fewest)
    if not few.is_empty():
        axes.axvspan(few["start"][0], edges[-1], **FEW_LEFT)
    gone = panel["stop"].to_numpy()[np.diff(left, prepend=n) < 0]
    axes.plot(gone, np.full(len(gone), n / 2), clip_on=False, **(END | {"markersize": 6}))
