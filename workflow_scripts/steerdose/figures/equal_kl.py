"""Dose and response at equal delivered KL: who is dead at how many nats on the study's own questions."""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from steerdose.columns import CELL, METHOD, has_dose
from steerdose.declarations.methods import DELIVERED_KL
from steerdose.declarations.passed import DOSE_SHARES
from steerdose.figures.choice import EVERY, evenly, note
from steerdose.figures.style import Style, arrange, drawing, method_styles, note_handles, panels_on, save
from steerdose.files import read_table
from steerdose.study.published import Panels

BAR: Style = {"elinewidth": 0.7, "capsize": 0, "markersize": 5}


def plot_equal_kl(*, shares: str, delivered: str, settings: Panels, png: str, svg: str) -> None:
    """Draw `equal_kl_figure` of all methods."""
    save(equal_kl_figure(read_table(shares, DOSE_SHARES), read_table(delivered, DELIVERED_KL), settings), png, svg)


@drawing()
def equal_kl_figure(shares: pl.DataFrame, delivered: pl.DataFrame, panels: Panels = EVERY) -> Figure:
    """Draw the share dead by the window against the delivered KL, a panel a cell and sign, a line a method.

    shares: of `dose_shares`, delivered: of `delivered_kl`. The line goes from dose to dose; bars are the confidence
    intervals of both. Methods at one place on the axis have moved the model equally far on these texts.
    """
    shares = evenly(shares, panels).filter(has_dose(), pl.col("alpha") != 0)
    both = shares.join(delivered.drop("n"), on=[*METHOD, "alpha"], how="left", maintain_order="left").drop_nulls("p95")
    if both.is_empty():
        figure = Figure((6, 2), layout="constrained")
        figure.subplots().set(title="no dose was rolled out", xticks=[], yticks=[])
        return figure
    looks = method_styles(both["method"].unique(maintain_order=True).to_list())
    columns, rows = arrange(both, CELL, "sign", most=2)
    figure = Figure((2.6 + 4.2 * columns, 3.4 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    for (each,), title, panel in panels_on(rows, axes[:, None]):
        each.set(title=title, ylim=(-0.02, 1.02), xscale="log")
        each.axhline(0.5, color="0.8", linewidth=0.8, zorder=0)
        each.xaxis.set(
            major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_formatter=NullFormatter()
        )
        _draw(each, panel, looks)
    figure.supxlabel("delivered KL: p95 per token, median over trajectories (nats)")
    figure.supylabel("share dead by the window")
    handles = [Line2D([], [], label=method, **look) for method, look in looks.items()]
    figure.legend(handles=[*handles, *note_handles(note(panels, "delivered_kl"))], loc="outside right center")
    return figure


def _draw(axes: Axes, panel: pl.DataFrame, looks: dict[str, Style]) -> None:
    for method, look in looks.items():
        own = panel.filter(method=method).sort("dose")
        x, y = own["p95"].to_numpy(), own["dead"].to_numpy()
        across = [x - own["p95_low"].to_numpy(), own["p95_high"].to_numpy() - x]
        up = [y - own["dead_low"].to_numpy(), own["dead_high"].to_numpy() - y]
        axes.errorbar(x, y, np.maximum(up, 0), np.maximum(across, 0), **look | BAR)
