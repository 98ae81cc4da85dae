"""The instrument as a figure: what every probe reads on the unsteered model along its text."""

from math import ceil
from textwrap import fill

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from steerdose.declarations.methods import PROBES
from steerdose.declarations.passed import AUDIT_FORKS
from steerdose.figures.style import ALIVE, Style, drawing, save
from steerdose.files import read_table, read_tables
from steerdose.study.published import PlotProbes

MOST = 4  # panels side by side
MINIMUM: Style = {"color": "0.4", "linestyle": ":", "linewidth": 1.4}
THRESHOLD: Style = {"color": "black", "linestyle": "--", "linewidth": 1.2}


def plot_probes(*, forks: list[str], others: list[str], table: str, settings: PlotProbes, png: str, svg: str) -> None:
    """Draw `probes_figure` of the audits of all models. others: of the probes that are audited only."""
    read = read_tables([*forks, *others], AUDIT_FORKS)
    save(probes_figure(read, read_table(table, PROBES), settings.minimum), png, svg)


@drawing()
def probes_figure(forks: pl.DataFrame, table: pl.DataFrame, minimum: float) -> Figure:
    """Draw pmass against t on the unsteered model: a panel a model and probe, a line a question, the median on top.

    forks: of the audit: model, probe, prompt_id, t, pmass. table: of `probes_table`, whose order and thresholds are
    shown. minimum: what the median over all forks must reach.
    """
    panels = table.select("model", "probe", "threshold", "rolled_out", "decides", "passes").rows()
    per_model = [[panel for panel in panels if panel[0] == name] for name in table["model"].unique(maintain_order=True)]
    columns = min(MOST, max(map(len, per_model)))
    rows = [own[start : start + columns] for own in per_model for start in range(0, len(own), columns)]
    figure = Figure((2.0 + 2.3 * max(columns, 2), 0.5 + 2.6 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    times = sorted(forks["t"].unique())
    shown = sorted({times[0], *times[:: -max(1, ceil(len(times) / 4))]})
    axes[0, 0].set(xlim=(0, times[-1]), ylim=(0, 1))
    axes[0, 0].set_xticks(shown, [str(t) for t in shown])
    for row, own in zip(axes, rows, strict=True):
        for each, (model, probe, threshold, rolled_out, decides, passes) in zip(row, own, strict=False):
            role = "rolled out, first" if decides else "read in rollouts" if rolled_out else "audited only"
            heading = [fill(model, 26)] if len(per_model) > 1 else []
            each.set_title(
                "\n".join([*heading, fill(probe, 26), f"{role}, {'passes' if passes else 'fails'}"]), fontsize=9
            )
            _draw_probe(each, forks.filter(model=model, probe=probe).sort("t"), minimum, threshold)
        for unused in row[len(own) :]:
            unused.remove()
    for column in range(columns):
        last = max(i for i, own in enumerate(rows) if len(own) > column)
        axes[last, column].tick_params(labelbottom=True)
    figure.supxlabel("tokens generated")
    figure.supylabel("mass on the two answers (pmass)")
    handles = [
        Line2D([], [], color=ALIVE, linewidth=1.2, label="one question"),
        Line2D([], [], color="black", linewidth=2, label="median"),
        Line2D([], [], label="minimum for the\nmedian of all forks", **MINIMUM),
        Line2D([], [], label="threshold", **THRESHOLD),
    ]
    figure.legend(handles=handles, loc="outside right center")
    return figure


def _draw_probe(axes: Axes, read: pl.DataFrame, minimum: float, threshold: float | None) -> None:
    axes.spines[["left", "bottom"]].set_position(("outward", 5))
    for question in read.partition_by("prompt_id", maintain_order=True):
        axes.plot(question["t"], question["pmass"], color=ALIVE, linewidth=0.7, clip_on=False)
    median = read.group_by("t", maintain_order=True).agg(pl.col("pmass").median())
    axes.plot(median["t"], median["pmass"], color="black", linewidth=2, clip_on=False)
    axes.axhline(minimum, **MINIMUM)
    if threshold is not None:
        axes.axhline(threshold, **THRESHOLD)
