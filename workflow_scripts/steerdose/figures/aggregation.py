"""The aggregation diagnostic as a figure: two simulated students, what each statistic makes of them, and real lives."""

from textwrap import fill

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from steerdose.declarations.methods import AGGREGATION
from steerdose.figures.style import ALIVE, DEAD, drawing, save
from steerdose.files import read_table
from steerdose.survival.aggregation import simulated_students

TICKS = (0, 0.1, 1, 10)  # nats; linear below the second


def plot_aggregation(*, table: str, png: str, svg: str) -> None:
    """Draw `aggregation_figure` of the table of the statistics of KL."""
    save(aggregation_figure(simulated_students(), read_table(table, AGGREGATION)), png, svg)


@drawing()
def aggregation_figure(students: pl.DataFrame, table: pl.DataFrame) -> Figure:
    """Draw the KL of `simulated_students`, the ratios of `aggregation_table` as bars, and its auc with intervals.

    Where the table holds no auc its note takes that panel.
    """
    figure = Figure((11, 3.4), layout="constrained")
    traces, ratios, lives = figure.subplots(1, 3, width_ratios=(4, 3, 3))
    looks = {"broad": (ALIVE, "o", "broad shift"), "loop": (DEAD, "^", "token loop")}
    for (student,), trace in students.group_by("student", maintain_order=True):
        color, marker, label = looks[str(student)]
        traces.plot(trace["position"], trace["kl"], color=color, marker=marker, markersize=4, linewidth=1, label=label)
    traces.set_yscale("symlog", linthresh=TICKS[1], linscale=0.8)
    traces.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
    traces.set(title="two simulated students", xlabel="position", ylabel="KL against the base (nats)", ylim=(-0.01, 12))
    traces.legend(loc="upper left")

    names, rows, ratio = table["statistic"].to_list(), np.arange(len(table)), table["ratio"].to_numpy()
    bars = ratios.barh(rows, ratio, color="0.6", height=0.65)
    ratios.bar_label(bars, [f"{value:.3g}" for value in ratio], padding=3, fontsize=9)
    ratios.set(title="token loop over broad shift", xlabel="ratio of the statistic", xlim=(0, 1.18 * ratio.max()))
    lives.set(title="dies or lives, at equal mean KL", xlabel="AUC on the study's rollouts", xlim=(0, 1))
    for axes in (ratios, lives):
        axes.set_yticks(rows, names)
        axes.set_ylim(len(rows) - 0.4, -0.6)
    if table["auc"].null_count():
        lives.set(yticks=[], xticks=[], xlabel="")
        lives.spines[:].set_visible(False)
        lives.text(0, 0.95, fill(table["note"][0], 36), transform=lives.transAxes, va="top")
    else:
        auc = table["auc"].to_numpy()
        spans = np.abs(table.select("auc_low", "auc_high").to_numpy().T - auc)
        lives.axvline(0.5, color="0.4", linestyle=":", linewidth=1.2)
        lives.errorbar(auc, rows, xerr=spans, color="black", marker="o", markersize=5, linestyle="", capsize=3)
    return figure
