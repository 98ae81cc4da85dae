"""Survival by method: a panel a method, a curve a dose; and the drawing that it shares with survival by dose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation

from steerdose.columns import CELL, METHOD, deciding, has_dose, sign_of_alpha
from steerdose.declarations.passed import CURVE
from steerdose.figures.choice import EVERY, evenly, note
from steerdose.figures.style import (
    Style,
    arrange,
    dose_styles,
    drawing,
    fork_axis,
    note_handles,
    panels_on,
    prompt_handles,
    prompt_looks,
    save,
)
from steerdose.files import read_tables
from steerdose.study.published import Panels

Looks = dict[tuple[str, str], Style]  # of prompts, by method and sign


@dataclass(frozen=True)
class Series:
    """What tells the curves of one panel apart: a column, the look of each of its values, and their names.

    interval(axes, panel, series, slots) draws the confidence intervals; `handle` stands for them in the legend.
    """

    column: str
    styles: dict[Any, Style]
    names: dict[Any, str]
    title: str
    interval: Callable[[Axes, pl.DataFrame, "Series", list[np.ndarray]], None]
    handle: Any


def plot_survival(*, curves: list[str], settings: Panels, png: str, svg: str) -> None:
    """Draw `survival_figure` of the curves of all methods."""
    save(survival_figure(read_tables(curves, CURVE).filter(deciding()), settings), png, svg)


def survival_figure(curve: pl.DataFrame, panels: Panels = EVERY) -> Figure:
    """Draw `kaplan_meier`'s curve: a panel a method with its numbers at risk below, a step curve a dose.

    Markers sit at deaths and, for every dose and prompt at other places along t, on the curve itself: curves that
    coincide are told apart without moving them. A curve stops where nobody is left at risk, unless all have died.
    Prompts are reference lines in every panel of their cell.
    """
    styles = dose_styles(sorted(curve.filter(has_dose())["alpha"].unique()))
    names = {alpha: f"{alpha:g}" for alpha in styles}
    band = Patch(facecolor="0.85", label="confidence\ninterval")
    doses = Series("alpha", styles, names, "alpha (multiple of\nthe calibrated dose)", _draw_bands, band)
    return draw_survival(evenly(curve, panels), "method", doses, note(panels, "survival"))


@drawing()
def draw_survival(curve: pl.DataFrame, panel_by: str, series: Series, shown: str) -> Figure:
    """Draw a panel a value of `panel_by` and a curve a value of `series`, in rows that start with each cell."""
    steered, prompts = curve.filter(has_dose()), curve.filter(~has_dose())
    prompts = prompts.with_columns(sign_of_alpha()).filter(pl.col("alpha") != 0)
    looks, times = prompt_looks(prompts), fork_times_of(steered)
    columns, rows = arrange(steered, CELL, panel_by, most=3)
    heights = (2.9, 0.35 + 0.17 * len(series.styles))
    figure = Figure((2.4 + (4.2 if columns == 1 else 2.9) * columns, sum(heights) * len(rows)), layout="constrained")
    axes = figure.subplots(2 * len(rows), columns, squeeze=False, height_ratios=heights * len(rows))
    for (upper, lower), title, panel in panels_on(rows, axes.reshape(len(rows), 2, columns)):
        fork_axis(lower, times)
        ticks = fork_axis(upper, times)
        upper.set(title=title, ylim=(0, 1), xlabel="tokens generated")
        upper.spines[["left", "bottom"]].set_position(("outward", 5))  # curves at 0 stay clear of the axis lines
        slots = _slots(upper, times[-1], len(series.styles) + len(looks))
        series.interval(upper, _reached(panel), series, slots)
        _draw_curves(upper, _reached(panel), series, slots)
        here = prompts.join(panel, on=CELL, how="semi", maintain_order="left")
        if panel_by == "alpha":
            here = here.join(panel.with_columns(sign_of_alpha()), on="sign", how="semi", maintain_order="left")
        _draw_prompts(upper, _reached(here), looks, slots)
        _draw_at_risk(lower, panel, series, ticks)
    for upper, lower in zip(axes[::2, 0], axes[1::2, 0], strict=True):
        upper.set_ylabel(f"share unbroken\n(endpoint: {curve['endpoint'][0]})")
        lower.set_title(f"number at risk, by {series.column}", fontsize=9)
    for inner in axes[:, 1:].flat:
        inner.tick_params(labelleft=False)
    lines = [
        Line2D([], [], label=f"{name} (unsteered)" if name == "0" else name, **series.styles[value])
        for value, name in series.names.items()
    ]
    handles = [*lines, series.handle, *prompt_handles(looks), *note_handles(shown)]
    figure.legend(handles=handles, loc="outside right center", title=series.title)
    return figure


def fork_times_of(curve: pl.DataFrame) -> list[int]:
    """Return the first and the last time of curves, and those at which some method has a row without any death.

    A curve has the forks and its method's own times of death: these rows are forks.
    """
    deaths = curve.group_by(*METHOD, "t").agg(pl.col("events").sum())
    quiet = deaths.filter(pl.col("events") == 0)["t"].to_list()
    return sorted({curve["t"].min(), *quiet, curve["t"].max()})


def _reached(curves: pl.DataFrame) -> pl.DataFrame:
    """Return the part of curves where somebody is at risk or all have died, in order."""
    return curves.filter((pl.col("at_risk") > 0) | (pl.col("survival") == 0)).sort("t", maintain_order=True)


def _slots(axes: Axes, window: int, count: int) -> list[np.ndarray]:
    """Return two places along t for the markers of each of `count` curves, evenly spread over the axis."""
    to_axis = axes.xaxis.get_transform()
    slots = to_axis.inverted().transform(np.linspace(0.02, 0.98, 2 * count) * to_axis.transform([window])[0])
    return [slots[i::count] for i in range(count)]


def _values(curve: pl.DataFrame, column: str, places: np.ndarray) -> np.ndarray:
    """Read a step function at places from its first fork on."""
    return curve[column].to_numpy()[np.searchsorted(curve["t"], places, side="right") - 1]


def _draw_bands(axes: Axes, panel: pl.DataFrame, series: Series, slots: list[np.ndarray]) -> None:  # noqa: ARG001
    """Shade confidence intervals.

    Equal bounds of several curves are shaded once: a pile of the same band would look like an especially sure one.
    """
    spans = panel.with_columns(width=pl.col("t").shift(-1).over(series.column) - pl.col("t")).drop_nulls("width")
    bands = spans.unique(["t", "ci_low", "ci_high"], keep="first", maintain_order=True)
    colors = [series.styles[value]["color"] for value in bands[series.column]]
    boxes = bands.select("t", "ci_low", "ci_high", end=pl.col("t") + pl.col("width")).to_numpy()
    corners = list(boxes[:, [[0, 1], [3, 1], [3, 2], [0, 2]]])
    axes.add_collection(PolyCollection(corners, facecolors=colors, alpha=0.1, linewidths=0), autolim=False)


def draw_whiskers(axes: Axes, panel: pl.DataFrame, series: Series, slots: list[np.ndarray]) -> None:
    """Draw each curve's interval at its last own place along t: bands of many methods could not be told apart."""
    for own, (value, style) in zip(slots, series.styles.items(), strict=False):
        seen = panel.filter(pl.col(series.column) == value)
        for place in own[own <= seen["t"].max()][-1:] if len(seen) else []:
            low, high = (_values(seen, bound, np.array([place]))[0] for bound in ("ci_low", "ci_high"))
            axes.plot([place] * 2, [low, high], color=style["color"], linewidth=1, alpha=0.6, clip_on=False)


def _draw_curves(axes: Axes, panel: pl.DataFrame, series: Series, slots: list[np.ndarray]) -> None:
    values: Sequence[Any] = list(series.styles)
    for seen in panel.partition_by(series.column, maintain_order=True):
        i, alpha = values.index(seen[series.column][0]), seen["alpha"][0]
        style = series.styles[values[i]]
        marked = np.r_[slots[i][slots[i] <= seen["t"][-1]], seen.filter(pl.col("events") > 0)["t"]]
        order = 2 + i / len(values) if alpha else 3  # the dashed black line lies on top
        t, survival = np.r_[0, seen["t"]], np.r_[1, seen["survival"]]
        axes.plot(t, survival, drawstyle="steps-post", clip_on=False, zorder=order, **(style | {"marker": ""}))
        look = style | {"linestyle": ""}
        axes.plot(marked, _values(seen, "survival", marked), clip_on=False, zorder=order + 2, **look)


def _draw_prompts(axes: Axes, prompts: pl.DataFrame, looks: Looks, slots: list[np.ndarray]) -> None:
    own_slots = dict(zip(looks, slots[-len(looks) :], strict=False))
    for (method, sign), seen in prompts.group_by("method", "sign", maintain_order=True):
        look, marked = looks[str(method), str(sign)], own_slots[str(method), str(sign)]
        marked = marked[marked <= seen["t"][-1]]
        t, survival = np.r_[0, seen["t"]], np.r_[1, seen["survival"]]
        axes.plot(t, survival, drawstyle="steps-post", clip_on=False, zorder=6, **(look | {"marker": ""}))
        axes.plot(marked, _values(seen, "survival", marked), clip_on=False, zorder=6, **(look | {"linestyle": ""}))


def _draw_at_risk(axes: Axes, panel: pl.DataFrame, series: Series, ticks: list[int]) -> None:
    """Write numbers at risk below the ticks, a row a curve with its marker at the left."""
    beside = axes.get_yaxis_transform() + ScaledTranslation(-18 / 72, 0, axes.figure.dpi_scale_trans)
    rows = {value: row for row, value in enumerate(series.styles)}
    for value, t, at_risk in panel.filter(pl.col("t").is_in(ticks)).select(series.column, "t", "at_risk").iter_rows():
        axes.text(t, rows[value], str(at_risk), ha="center", va="center", fontsize=8, in_layout=False)
    for value, row in rows.items():
        axes.plot([0], [row], transform=beside, clip_on=False, **(series.styles[value] | {"linestyle": ""}))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), list(series.names.values()), fontsize=8)
    axes.tick_params(left=False, pad=22)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
