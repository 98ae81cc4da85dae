"""KL of every trajectory over its own beginning: which ones grow, whatever level they started from."""

import polars as pl
from matplotlib.figure import Figure

from steerdose.figures.choice import EVERY, spread
from steerdose.figures.kl_quantiles import read_lines
from steerdose.figures.spaghetti import draw_spaghetti
from steerdose.figures.style import save
from steerdose.study.published import Panels, PlotSpaghettiNormalised


def plot_spaghetti_normalised(
    *, tokens: list[str], lifetimes: list[str], settings: PlotSpaghettiNormalised, png: str, svg: str
) -> None:
    """Draw `spaghetti_normalised_figure` of the tokens of all methods that have a place."""
    smoothing, fewest, head = settings.smoothing, settings.fewest, settings.head
    lines, medians = read_lines(tokens, lifetimes, spread(settings), smoothing, head)
    save(spaghetti_normalised_figure(lines, medians, smoothing, fewest, head, settings), png, svg)


def spaghetti_normalised_figure(
    lines: pl.DataFrame, medians: pl.DataFrame, smoothing: int, fewest: int, head: int, panels: Panels = EVERY
) -> Figure:
    """Draw the column of `normalised_kl` against t as `draw_spaghetti` does, with one axis for all panels.

    Trajectories without a scale, and so the panels of alpha 0, are left out; a study of none but those gets the reason.
    """
    if lines.is_empty():
        figure = Figure((6, 1.2))
        why = f"No trajectory has {head} tokens and a KL above 0 among them:\nthere is no beginning to compare with."
        figure.text(0.5, 0.5, why, ha="center", va="center")
        return figure
    quantity, level = f"KL over the p95 of its first {head} tokens", "level of its beginning"
    lines = lines.with_columns(level=pl.lit(1.0))
    return draw_spaghetti(lines, medians, "normalised", quantity, level, smoothing, fewest, panels)
