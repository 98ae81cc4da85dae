"""Two ways to be lost: the share of texts that break, and of those that are about nothing, by dose."""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from steerdose.columns import CELL, METHOD
from steerdose.declarations.passed import DOSE_SHARES
from steerdose.declarations.relevance import IRRELEVANCE
from steerdose.figures.choice import EVERY, evenly, note
from steerdose.figures.style import Style, arrange, drawing, note_handles, panels_on, save
from steerdose.files import read_table
from steerdose.study.published import Panels

LOOKS: dict[str, Style] = {  # told apart by shape and dash too, so in grey
    "dead": {"color": "#D55E00", "marker": "o", "linestyle": "-", "label": "broken by the window"},
    "irrelevant": {"color": "#0072B2", "marker": "s", "linestyle": "--", "label": "not about its question"},
}
ASIDE = 0.008  # of the axis: how far the two series stand apart, so that their intervals do not cover each other


def plot_relevance(*, shares: str, relevance: str, settings: Panels, png: str, svg: str) -> None:
    """Draw `relevance_figure` of all methods."""
    figure = relevance_figure(read_table(shares, DOSE_SHARES), read_table(relevance, IRRELEVANCE), settings)
    save(figure, png, svg)


@drawing()
def relevance_figure(shares: pl.DataFrame, relevance: pl.DataFrame, panels: Panels = EVERY) -> Figure:
    """Draw both shares of each method against alpha, with their intervals.

    shares: of `dose_shares`, relevance: of `irrelevance`. Methods without a dose are left out: theirs is no axis.
    """
    shares = evenly(shares, panels).filter(pl.col("coefficient").is_not_null())
    columns, rows = arrange(shares, CELL, "method", most=3)
    figure = Figure((2.4 + (4.2 if columns == 1 else 2.9) * columns, 2.9 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, sharey=True)
    for (each,), title, panel in panels_on(rows, axes[:, None]):
        both = panel.join(relevance.drop("n"), on=[*METHOD, "alpha"], how="left", maintain_order="left").sort("alpha")
        each.set(title=title, ylim=(-0.02, 1.02))
        for place, (name, look) in zip((-1, 1), LOOKS.items(), strict=True):
            _draw(each, both, name, look, place)
    figure.supxlabel("alpha (multiple of the calibrated dose)")
    figure.supylabel("share of texts")
    handles = [Line2D([], [], **look) for look in LOOKS.values()]
    figure.legend(handles=[*handles, *note_handles(note(panels, "methods"))], loc="outside right center")
    return figure


def _draw(axes: Axes, both: pl.DataFrame, name: str, look: Style, place: int) -> None:
    x = both["alpha"].to_numpy()
    x = x + place * ASIDE * max(float(x.max() - x.min()), 1.0)
    y = both[name].cast(pl.Float64).to_numpy()
    bounds = [both[f"{name}_{end}"].cast(pl.Float64).to_numpy() for end in ("low", "high")]
    error = [abs(y - bounds[0]), abs(bounds[1] - y)]
    axes.errorbar(x, y, error, capsize=2, elinewidth=0.8, markersize=4, **look)
