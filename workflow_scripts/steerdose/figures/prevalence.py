"""How many texts are broken at a time, whatever they were before or will be: a panel a method, a curve a dose."""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from steerdose.columns import CELL, deciding, has_dose
from steerdose.declarations.passed import PREVALENCE
from steerdose.figures.choice import EVERY, evenly, note
from steerdose.figures.style import Style, arrange, dose_styles, drawing, fork_axis, note_handles, panels_on, save
from steerdose.files import read_tables
from steerdose.study.published import Panels


def plot_prevalence(*, prevalence: list[str], settings: Panels, png: str, svg: str) -> None:
    """Draw `prevalence_figure` by the deciding endpoint, which comes first."""
    save(prevalence_figure(read_tables(prevalence, PREVALENCE).filter(deciding()), settings), png, svg)


@drawing()
def prevalence_figure(states: pl.DataFrame, panels: Panels = EVERY) -> Figure:
    """Draw the share broken among those that still write, at every fork.

    states: as `lifetimes` returns prevalence, of one endpoint. A curve may fall: a text may recover, and who ended its
    turn is not counted any more. Methods without a dose are left out.
    """
    states = evenly(states, panels).filter(has_dose()).filter(pl.col("n") > 0)
    styles = dose_styles(sorted(states["alpha"].unique()))
    columns, rows = arrange(states, CELL, "method", most=3)
    figure = Figure((2.4 + (4.2 if columns == 1 else 2.9) * columns, 2.9 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, sharey=True)
    for (each,), title, panel in panels_on(rows, axes[:, None]):
        each.set(title=title, ylim=(0, 1))
        fork_axis(each, sorted(states["t"].unique()))
        _draw(each, panel, styles)
    figure.supxlabel("tokens generated")
    figure.supylabel("share broken of those still writing")
    lines = [
        Line2D([], [], label="0 (unsteered)" if alpha == 0 else f"{alpha:g}", **look) for alpha, look in styles.items()
    ]
    handles = [*lines, *note_handles(note(panels, "survival"))]
    figure.legend(handles=handles, loc="outside right center", title="alpha (multiple of\nthe calibrated dose)")
    return figure


def _draw(axes: Axes, panel: pl.DataFrame, styles: dict[float, Style]) -> None:
    for alpha, look in styles.items():
        own = panel.filter(alpha=alpha).sort("t")
        axes.plot(own["t"], own["broken"] / own["n"], clip_on=False, **look)
