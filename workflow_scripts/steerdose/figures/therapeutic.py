"""What a dose buys and what it breaks, on one axis: effect and share of unbroken texts, a panel a method."""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from steerdose.columns import CELL, METHOD, SIGNS
from steerdose.declarations.benefit import EFFECT_CURVES, RECOMMENDED
from steerdose.declarations.passed import DOSE_SHARES
from steerdose.figures.choice import EVERY, evenly, note
from steerdose.figures.style import Style, arrange, drawing, note_handles, panels_on, save
from steerdose.files import read_table
from steerdose.study.published import Panels

EFFECT: Style = {"color": "#0072B2", "marker": "o", "markersize": 4.5, "linestyle": ""}
FIT: Style = {"color": "#0072B2", "linewidth": 1.8}
ALIVE: Style = {"color": "#A83C0A", "marker": "s", "markersize": 4, "linewidth": 1.4, "linestyle": "--"}
WINDOW: Style = {"color": "0.88", "linewidth": 0, "zorder": 0}
CHOSEN: Style = {"color": "black", "linewidth": 1.0, "linestyle": ":"}
HALVES: dict[str, Style] = {
    "ed50": {"marker": "D", "markersize": 6.5, "markerfacecolor": "white", "markeredgecolor": "#0072B2", "zorder": 5},
    "ld50": {"marker": "D", "markersize": 6.5, "markerfacecolor": "white", "markeredgecolor": "#A83C0A", "zorder": 5},
}


def plot_therapeutic(*, curves: str, table: str, shares: str, settings: Panels, png: str, svg: str) -> None:
    """Draw `therapeutic_figure` of all methods."""
    frames = read_table(curves, EFFECT_CURVES), read_table(table, RECOMMENDED), read_table(shares, DOSE_SHARES)
    save(therapeutic_figure(*frames, settings), png, svg)


@drawing()
def therapeutic_figure(
    curves: pl.DataFrame, table: pl.DataFrame, shares: pl.DataFrame, panels: Panels = EVERY
) -> Figure:
    """Draw effect (left axis) and share unbroken by the window (right axis) on the dose, a panel a method and sign.

    curves, table: of `tabulate_dose`. The shaded window goes from the smallest dose with an effect to the safe dose;
    none where no effect is shown, or no dose that shows it is safe. Effects of all panels of a cell share one axis.
    """
    curves = evenly(curves, panels).with_columns(panel=pl.format("{}, {}", "method", "sign"))
    if curves.is_empty():
        figure = Figure((6, 2), layout="constrained")
        figure.subplots().set(title="no task of the study shows its behavior", xticks=[], yticks=[])
        return figure
    columns, rows = arrange(curves, CELL, "panel", most=3)
    figure = Figure((2.4 + 2.9 * columns, 0.9 + 2.5 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, sharex=True)
    for (each,), title, panel in panels_on(rows, axes[:, None]):
        key = panel.select(*METHOD, "sign").row(0, named=True)
        (told,) = table.filter(**key).iter_rows(named=True)
        cell = curves.join(panel.select(CELL).unique(), on=CELL)
        _limits(each, cell)
        each.set_title(f"{title}\n{_verdict(told)}")
        _draw_effect(each, panel, told)
        dead = shares.filter(pl.col("alpha") * SIGNS[key["sign"]] >= 0, **{name: key[name] for name in METHOD})
        _draw_alive(each, dead.sort("dose"), told)
        _draw_window(each, told)
    figure.supxlabel("dose: |alpha|, multiples of the calibrated coefficient")
    figure.supylabel(f"effect on {', '.join(curves['benefit'].unique(maintain_order=True))}, toward the sign")
    figure.legend(handles=[*_handles(), *note_handles(note(panels, "dose"))], loc="outside right center")
    return figure


def _verdict(told: dict[str, object]) -> str:
    index = told["index"]
    if isinstance(index, float):
        return f"index {index:.2g}" + ("" if told["verdict"] == "recommended" else f", {told['verdict']}")
    return str(told["verdict"])


def _limits(axes: Axes, cell: pl.DataFrame) -> None:
    """Set the axis of effects: 0 and all effects of the cell, with what of their intervals is near."""
    effect = cell["effect"].to_numpy()
    low, high = min(effect.min(), 0.0), max(effect.max(), 0.0)
    near = max(high - low, 1e-9)
    low = max(min(low, cell["effect_low"].min()), low - 0.5 * near)
    high = min(max(high, cell["effect_high"].max()), high + 0.5 * near)
    axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))


def _draw_effect(axes: Axes, panel: pl.DataFrame, told: dict[str, object]) -> None:
    own = panel.sort("dose")
    dose, effect = own["dose"].to_numpy(), own["effect"].to_numpy()
    bars = np.maximum([effect - own["effect_low"].to_numpy(), own["effect_high"].to_numpy() - effect], 0)
    axes.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    axes.errorbar(dose[1:], effect[1:], bars[:, 1:], elinewidth=1.0, capsize=0, **EFFECT)
    fit = own.drop_nulls("fitted")
    if not fit.is_empty():
        axes.plot(fit["dose"], fit["fitted"], **FIT)
        if isinstance(half := told["ed50"], float):
            axes.plot(half, np.interp(half, fit["dose"], fit["fitted"]), **HALVES["ed50"])


def _draw_alive(axes: Axes, dead: pl.DataFrame, told: dict[str, object]) -> None:
    beside = axes.twinx()
    beside.spines["right"].set_visible(True)
    beside.set(ylim=(-0.03, 1.03), yticks=[0, 0.5, 1])
    beside.tick_params(labelright=bool(axes.get_subplotspec().is_last_col()))  # type: ignore[union-attr]
    beside.plot(dead["dose"], 1 - dead["dead"], **ALIVE)
    beside.fill_between(dead["dose"], 1 - dead["dead_high"], 1 - dead["dead_low"], color="#A83C0A", alpha=0.12, lw=0)
    if isinstance(half := told["ld50"], float):
        beside.plot(half, 0.5, **HALVES["ld50"])


def _draw_window(axes: Axes, told: dict[str, object]) -> None:
    first, last = told["minimal_dose"], told["safe_dose"]
    if isinstance(first, float) and isinstance(last, float) and first <= last:
        room = 0.06 if first == last else 0.0  # a window of one dose has to be seen
        axes.axvspan(first - room, last + room, **WINDOW)
    if told["verdict"] == "recommended" and isinstance(alpha := told["alpha"], float):
        axes.axvline(abs(alpha), **CHOSEN)


def _handles() -> list[Line2D | Patch]:
    return [
        Line2D([], [], label="effect, with interval", **EFFECT),
        Line2D([], [], label="rising fit of it", **FIT),
        Line2D([], [], label="ED50", linestyle="", **HALVES["ed50"]),
        Line2D([], [], label="share unbroken (right)", **ALIVE),
        Line2D([], [], label="LD50", linestyle="", **HALVES["ld50"]),
        Patch(facecolor="0.88", label="window of use"),
        Line2D([], [], label="recommended", **CHOSEN),
    ]
