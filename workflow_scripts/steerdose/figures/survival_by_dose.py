"""Survival by dose: a panel an alpha, a curve a method, so that methods at equal KL stand side by side."""

import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from steerdose.columns import deciding, has_dose
from steerdose.declarations.passed import CURVE
from steerdose.figures.choice import EVERY, evenly, note
from steerdose.figures.style import method_styles, save
from steerdose.figures.survival import Series, draw_survival, draw_whiskers
from steerdose.files import read_tables
from steerdose.study.published import Panels


def plot_survival_by_dose(*, curves: list[str], settings: Panels, png: str, svg: str) -> None:
    """Draw `survival_by_dose_figure` of the curves of all methods."""
    save(survival_by_dose_figure(read_tables(curves, CURVE).filter(deciding()), settings), png, svg)


def survival_by_dose_figure(curve: pl.DataFrame, panels: Panels = EVERY) -> Figure:
    """Draw `kaplan_meier`'s curve as `survival_figure` does, with the panels by alpha and a curve a method.

    Confidence intervals are vertical bars at one place of each curve. Prompts are reference lines in the panels of
    their sign; alpha 0 counts as positive.
    """
    curve = evenly(curve, panels)
    methods = curve.filter(has_dose())["method"].unique(maintain_order=True).to_list()
    bar = Line2D([], [], color="0.4", linestyle="", marker="|", markersize=14, label="confidence\ninterval")
    series = Series("method", method_styles(methods), {name: name for name in methods}, "method", draw_whiskers, bar)
    return draw_survival(curve.sort("alpha", maintain_order=True), "alpha", series, note(panels, "survival"))
