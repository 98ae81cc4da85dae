"""Survival by dose: a panel an alpha, a curve a method, so that methods at equal KL stand side by side."""

import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from steerdose.figures.style import method_styles, split_prompts
from steerdose.figures.survival import Series, draw_survival, draw_whiskers


def survival_by_dose_figure(curve: pl.DataFrame) -> Figure:
    """Draw `kaplan_meier`'s curve as `survival_figure` does, with the panels by alpha and a curve a method.

    Confidence intervals are vertical bars at one place of each curve. Prompts are reference lines in the panels of
    their sign; alpha 0 counts as positive.
    """
    steered = split_prompts(curve)[0]
    methods = steered["method"].unique(maintain_order=True).to_list()
    bar = Line2D([], [], color="0.4", linestyle="", marker="|", markersize=14, label="confidence\ninterval")
    series = Series("method", method_styles(methods), {name: name for name in methods}, "method", draw_whiskers, bar)
    return draw_survival(curve.sort("alpha", maintain_order=True), "alpha", series)
