"""Losses of the adapters while they are trained."""

import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from steerdose.columns import CELL
from steerdose.declarations.made import TRAINING
from steerdose.figures.style import SIGNS, Style, arrange, drawing, panels_on, save
from steerdose.files import read_tables


def plot_training(*, losses: list[str], png: str, svg: str) -> None:
    """Draw `training_figure` of the losses of all adapters. Every adapter stands alone, so none is left out."""
    save(training_figure(read_tables(losses, TRAINING)), png, svg)


@drawing()
def training_figure(training: pl.DataFrame) -> Figure:
    """Draw train and held-out loss (nats per token) against the optimizer step, a panel a method, a colour a sign."""
    columns, rows = arrange(training, CELL, "method", most=3)
    figure = Figure((2.2 + (4.2 if columns == 1 else 2.8) * columns, 0.6 + 2.6 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    looks: dict[str, Style] = {"train": {"linewidth": 1}, "heldout": {"linestyle": "--", "marker": "."}}
    for (each,), title, panel in panels_on(rows, axes[:, None]):
        each.set_title(title)
        for (sign, split), line in panel.sort("step").group_by("sign", "split", maintain_order=True):
            each.plot(line["step"], line["loss"], color=SIGNS[str(sign)][0], **looks[str(split)])
    figure.supxlabel("optimizer step")
    figure.supylabel("loss (nats per token)")
    handles = [
        Line2D([], [], color=color, label=f"{sign} sign, {split}", **look)
        for sign, (color, _) in SIGNS.items()
        for split, look in looks.items()
    ]
    figure.legend(handles=handles, loc="outside right center")
    return figure
