"""How trajectories died, as a figure: by the KL before their deaths, and by what broke."""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from steerdose.columns import CELL, deciding
from steerdose.declarations.passed import DEATH_HISTORIES
from steerdose.figures.choice import EVERY, evenly, note
from steerdose.figures.style import ALIVE, DEAD, Style, arrange, drawing, note_handles, panels_on, save
from steerdose.files import read_table
from steerdose.study.published import Panels
from steerdose.survival.histories import deaths_table

# From the foot of a bar upwards; every pair of neighbours differs in grey, by shade or hatching.
HISTORIES: dict[str, Style] = {
    "at_once": {"facecolor": DEAD, "label": "at once (no KL yet)"},
    "neither": {"facecolor": "#F2B77C", "label": "neither: as survivors' KL"},
    "sustained": {"facecolor": ALIVE, "hatch": "//////", "label": "sustained rise"},
    "spike": {"facecolor": "white", "hatch": "xxxxxx", "label": "spike"},
    "unclear": {"facecolor": "white", "hatch": ".....", "label": "unclear"},
}
DAMAGE: dict[str, Style] = {
    "readout": {"facecolor": "0.8", "label": "the readout"},
    "text": {"facecolor": "0.3", "label": "the text"},
    "not_told": {"facecolor": "white", "label": "not told"},
}
WIDTHS, ROOM = (0.52, 0.28), 0.86  # of the two bars; unlike, so that equal shades of grey are not taken for one another
EDGE: Style = {"edgecolor": "0.25", "linewidth": 0.6}


def plot_death_anatomy(*, deaths: str, settings: Panels, png: str, svg: str) -> None:
    """Draw `death_anatomy_figure` of the deaths by the deciding endpoint, which comes first."""
    histories = read_table(deaths, DEATH_HISTORIES).filter(deciding())
    save(death_anatomy_figure(deaths_table(histories), settings), png, svg)


@drawing({"hatch.linewidth": 0.6})
def death_anatomy_figure(table: pl.DataFrame, panels: Panels = EVERY) -> Figure:
    """Draw `deaths_table`: a panel a method, and for each dose the share that died as two stacked bars.

    The wide bar splits the deaths by the KL before them, the narrow one by what broke; without any death whose damage
    was read there is no narrow bar.
    """
    table = evenly(table, panels)
    read = bool(table.select((pl.col("readout") + pl.col("text") > 0).any()).item())
    bars = (HISTORIES, DAMAGE) if read else (HISTORIES,)
    columns, rows = arrange(table, CELL, "method", most=4)
    figure = Figure((2.4 + (4.0 if columns == 1 else 2.8) * columns, 0.7 + 2.1 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, sharey=True)
    for (each,), title, panel in panels_on(rows, axes[:, None]):
        each.set(title=title, ylim=(0, 1))
        _draw_bars(each, panel, bars)
    figure.supxlabel("alpha (multiple of the calibrated dose)")
    figure.supylabel("share of trajectories that died")
    titles = ("wide bar: KL before the death", "narrow bar: what broke") if read else ("KL before the death",)
    handles = []
    for looks, title in zip(bars, titles, strict=True):
        handles += [Patch(visible=False, label=title), *[Patch(**look, **EDGE) for look in reversed(looks.values())]]
    handles += note_handles(note(panels, "deaths"))
    figure.legend(handles=handles, loc="outside right center")
    return figure


def _draw_bars(axes: Axes, panel: pl.DataFrame, bars: tuple[dict[str, Style], ...]) -> None:
    panel = panel.sort("alpha")
    places = np.arange(len(panel))
    widths = WIDTHS if len(bars) > 1 else (ROOM,)
    for looks, width, left in zip(bars, widths, (-ROOM / 2, ROOM / 2 - widths[-1]), strict=False):
        foot = np.zeros(len(panel))
        for column, look in looks.items():
            share = (panel[column] / panel["n"]).to_numpy()
            seen = {
                "linewidth": EDGE["linewidth"] * (share > 0),
                "hatch": np.where(share > 0, look.get("hatch"), None),  # an unseen one takes its time too
            }
            axes.bar(places + left, share, width, foot, align="edge", **(look | EDGE | seen))
            foot += share
    labels = [f"{alpha:g}" for alpha in panel["alpha"]]
    axes.set_xticks(places, labels, rotation=90 if sum(map(len, labels)) > 20 else 0)
    middle, reach = (len(panel) - 1) / 2, max(len(panel), 3) / 2 + 0.1
    axes.set_xlim(middle - reach, middle + reach)
    if not panel["died"].sum():
        axes.text(middle, 0.5, "none died", ha="center", va="center", color="0.4")
