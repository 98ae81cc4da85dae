"""What the figures share: one style, looks of doses, methods and prompts, panels in rows; each has its own module."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from textwrap import fill
from typing import Any, TypeVar

import matplotlib
import numpy as np
import polars as pl
from adjustText import adjust_text
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, StrMethodFormatter

from steerdose.files import replacing
from steerdose.flow.provenance import stamp

STYLE = {
    **{"font.size": 10, "figure.labelsize": 10, "axes.titlesize": 10, "xtick.labelsize": 9, "ytick.labelsize": 9},
    **{"axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False},
    **{"xtick.minor.size": 0, "ytick.minor.size": 0, "axes.titley": 1},  # else every title's place is searched for
}
ITERATIONS = 500  # of names that push each other; a limit of time would make pictures differ
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
ALIVE, DEAD = "#8CC8F0", "#A83C0A"  # light and dark: they differ in grey too
HALO = [withStroke(linewidth=2.6, foreground="white")]
SIGNS = {"positive": ("#0072B2", "o"), "negative": ("#E69F00", "s")}
# Okabe and Ito without their yellow, which is too pale for a line on white.
METHOD_COLORS = ("#000000", "#E69F00", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")
METHOD_DASHES = ("-", "--", "-.", ":")  # 4 of them and 7 colours tell 28 methods apart
PROMPT_MARKERS = ("x", "1", "2", "3", "4")  # no "+": on a line it looks like alpha 0
PROMPT_SIGNS = {"positive": ("black", ""), "negative": ("0.5", ", negative")}
KL_TICKS = (0, 0.01, 0.1, 1, 10, 100, 1000)  # nats; linear below the first, so that exactly 0 has a place
Panel = tuple[str, pl.DataFrame]  # its title, its rows
Tick = TypeVar("Tick", int, float)
Style = dict[str, Any]  # Line2D properties
END: Style = {"color": "black", "linestyle": "", "marker": "|", "markersize": 8, "markeredgewidth": 1.2}


@contextmanager
def _no_search() -> Iterator[None]:
    """Pause the search for unused cycles: the hundreds of thousands of parts of a figure all stay in use."""
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()


@contextmanager
def drawing(style: Style | None = None) -> Iterator[None]:
    """Set STYLE and `style` while a figure is built."""
    with _no_search(), matplotlib.rc_context(STYLE | (style or {})):
        yield


def save(figure: Figure, png: str | Path, svg: str | Path) -> None:
    """Write both files; equal figures of one commit give equal bytes: ids are salted and dates left out.

    The layout is made once, for both files: matplotlib would make it, and draw the figure for it, once for each.
    """
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine(None)
    salt = {"svg.hashsalt": "steerdose"}
    with _no_search(), matplotlib.rc_context(salt), replacing(png) as pixels, replacing(svg) as vectors:
        figure.savefig(pixels, dpi=160, metadata={"Software": None, "Description": stamp()})
        figure.savefig(vectors, metadata={"Date": None, "Creator": None, "Description": stamp()})


def dose_styles(alphas: Sequence[float]) -> dict[float, Style]:
    """Line2D properties a dose: darker and thinner is stronger, negative doses are dotted with hollow markers."""
    magnitudes = sorted({abs(alpha) for alpha in alphas} - {0})
    shades = matplotlib.colormaps["viridis"](np.linspace(0.82, 0.0, len(magnitudes)))
    styles: dict[float, Style] = {}
    for alpha in alphas:
        if alpha == 0:
            styles[alpha] = {"color": "black", "linestyle": "--", "linewidth": 1.2, "marker": "|", "markersize": 7}
            continue
        rank = magnitudes.index(abs(alpha))
        face, edge = (shades[rank], "white") if alpha > 0 else ("white", shades[rank])
        marker = {"marker": MARKERS[rank % len(MARKERS)], "markerfacecolor": face, "markeredgecolor": edge}
        line = {
            "color": shades[rank],
            "linestyle": "-" if alpha > 0 else ":",
            "linewidth": 3.6 - 2.2 * rank / len(magnitudes),
        }
        styles[alpha] = line | marker | {"markersize": 5.5, "markeredgewidth": 0.6 if alpha > 0 else 1.2}
    return styles


def method_styles(methods: Sequence[str]) -> dict[str, Style]:
    """Line2D properties a method: colour, dashes and marker, so that 12 of them differ in grey too."""
    return {
        method: {
            "color": METHOD_COLORS[i % len(METHOD_COLORS)],
            "linestyle": METHOD_DASHES[i % len(METHOD_DASHES)],
            "linewidth": 1.4,
            "marker": MARKERS[i % len(MARKERS)],
            "markersize": 5.5,
            "markeredgecolor": "white",
            "markeredgewidth": 0.6,
        }
        for i, method in enumerate(methods)
    }


def token_axis(axes: Axes, window: int) -> None:
    """Set the linear axis of tokens, with ticks that follow from the window: axes with and without labels agree."""
    axes.set_xlim(0, window)
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 2.5, 5, 10]))


def fork_axis(axes: Axes, times: Sequence[int], labels: float = 6) -> list[int]:
    """Set the linear axis of tokens up to the last fork; return its ticks: about `labels` of the fork `times`."""
    axes.set_xlim(0, times[-1])
    ticks = sparse(axes, times, labels)
    _set_ticks(axes.xaxis, ticks)
    return ticks


def kl_axis(axes: Axes, highest: float) -> None:
    """Set an axis of KL from 0, logarithmic above its first tick; `highest` is the largest value on it."""
    top = 1.3 * max(highest, KL_TICKS[1])
    axes.set_yscale("symlog", linthresh=KL_TICKS[1], linscale=0.5)
    axes.set_ylim(0, top)
    _set_ticks(axes.yaxis, [tick for tick in KL_TICKS if tick <= top])


def _set_ticks(axis: Axis, ticks: Sequence[float]) -> None:
    """Set where ticks are; unlike those of `set_ticks` they are made when drawn, and inner axes of a grid need none."""
    axis.set(major_locator=FixedLocator(ticks), major_formatter=StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())


def sparse(axes: Axes, times: Sequence[Tick], labels: float = 8.5) -> list[Tick]:
    """Choose places (forks, doses) whose labels fit side by side: first, last, and between them those far apart."""
    place = axes.xaxis.get_transform().transform(np.asarray(times, dtype=float))
    gap = (place[-1] - place[0]) / labels
    kept: list[int] = [len(times) - 1]
    for i in range(len(times) - 2, 0, -1):
        if place[kept[-1]] - place[i] >= gap and place[i] - place[0] >= gap:
            kept.append(i)
    return [times[i] for i in sorted({0, *kept})]


def place_names(figure: Figure, names: Mapping[Axes, list[Text]]) -> None:
    """Move the names of points, which stand where the points do, until they cover neither each other nor a point.

    To be called last: where the axes lie decides where there is room.
    """
    figure.draw_without_rendering()
    for axes, own in names.items():
        points = np.concatenate([line.get_xydata() for line in axes.lines if line.get_linestyle() == "None"])
        adjust_text(
            own, x=points[:, 0], y=points[:, 1], ax=axes, iter_lim=ITERATIONS,
            arrowprops={"arrowstyle": "-", "color": "0.4", "linewidth": 0.6},
        )  # fmt: skip


def prompt_looks(prompts: pl.DataFrame) -> dict[tuple[str, str], Style]:
    """Line2D properties of every (method, sign): thin, a marker and one more dot behind the dash for each method."""
    looks = {}
    for i, method in enumerate(prompts["method"].unique(maintain_order=True)):
        signs = prompts.filter(method=method)["sign"].unique()
        for sign in (sign for sign in PROMPT_SIGNS if sign in signs):
            dashes = (0, (8, 2.5, *[1.2, 2.5] * (i + 1)))
            marker = {"marker": PROMPT_MARKERS[i % len(PROMPT_MARKERS)], "markersize": 6}
            looks[method, sign] = {"color": PROMPT_SIGNS[sign][0], "linestyle": dashes, "linewidth": 1.1} | marker
    return looks


def prompt_handles(looks: dict[tuple[str, str], Style]) -> list[Line2D]:
    """Return the legend's lines of `prompt_looks`."""
    return [
        Line2D([], [], label=fill(method + PROMPT_SIGNS[sign][1], 24), **look) for (method, sign), look in looks.items()
    ]


def note_handles(note: str) -> list[Patch]:
    """Return the last entry of a legend at the right, a text without a line; none where the note is empty."""
    text = fill(note.replace("/", "/ "), 22).replace("/ ", "/")  # a path may break at its slashes
    return [Patch(visible=False, label=text)] if note else []


def note_title(note: str, width: float) -> str | None:
    """Return the title of a legend at the top of a figure of this width (inches); none where the note is empty."""
    return fill(note, int(9 * width)) if note else None


def arrange(frame: pl.DataFrame, by: Sequence[str], panel: str, most: int) -> tuple[int, list[list[Panel]]]:
    """Return the number of columns, at most `most`, and rows of titled panels, one a value of `panel`.

    Every group of `by` starts a row, and the title of its first panel is headed by the group's name.
    """
    groups = frame.partition_by(by, maintain_order=True)
    widest = max(group[panel].n_unique() for group in groups)
    columns = ceil(widest / ceil(widest / most))
    rows: list[list[Panel]] = []
    for group in groups:
        panels = [(title_of(panel, part[panel][0]), part) for part in group.partition_by(panel, maintain_order=True)]
        heading = fill(", ".join(title_of(name, group[name][0]) for name in by), 30 * columns)
        panels[0] = (f"{heading}\n{panels[0][0]}", panels[0][1])
        rows += [panels[start : start + columns] for start in range(0, len(panels), columns)]
    return columns, rows


def title_of(column: str, value: str | float) -> str:
    """Return a key's value in a title; numbers are named."""
    return fill(value, 30) if isinstance(value, str) else f"{column} {value:g}"


def panels_on(rows: list[list[Panel]], axes: np.ndarray) -> Iterator[tuple[np.ndarray, str, pl.DataFrame]]:
    """Pair panels with their axes, (rows, axes of one panel, columns), and remove the axes that have no panel."""
    for row, panels in enumerate(rows):
        for column, panel in enumerate(panels):
            yield axes[row, :, column], *panel
        for column in range(len(panels), axes.shape[2]):
            axes[row - 1, -1, column].tick_params(labelbottom=True)
            for unused in axes[row, :, column]:
                unused.remove()


def panel_grid(
    rows: list[list[Panel]], columns: int, heights: Sequence[float], width: float = 1.5
) -> tuple[Figure, np.ndarray]:
    """Return a figure with axes (rows, heights, columns) of fixed sizes (inches), and room for a legend at the right.

    The caller sets scales, limits and ticks of each. Shared axes and constrained layout take much longer, with the
    square of the hundreds of axes of a grid.
    """
    left, right, below, beside, inner = 0.95, 2.15, 0.75, 0.28, 0.14
    if len(rows) == 1:
        width, heights = 1.3 * width, [1.6 * height for height in heights]
    lines = [max(title.count("\n") + 1 for title, _ in row) for row in rows]
    above = [0.2 + 0.17 * count for count in lines]
    tall = sum(heights) + inner * (len(heights) - 1)
    size = (left + right + (width + beside) * columns, below + sum(above) + tall * len(rows))
    figure = Figure(size)
    axes = np.full((len(rows), len(heights), columns), None)
    top = size[1]
    for row, part in np.ndindex(*axes.shape[:2]):
        top -= heights[part] + (inner if part else above[row])
        for column in range(columns):
            place = (left + (width + beside) * column, top, width, heights[part])
            box = (place[0] / size[0], place[1] / size[1], place[2] / size[0], place[3] / size[1])
            each = figure.add_axes(box)
            for axis in (each.xaxis, each.yaxis):
                axis.set_label_coords(0, 0)  # there is none: no place is searched for it
            lowest = row == len(rows) - 1 or column >= len(rows[row + 1])
            each.tick_params(labelleft=column == 0, labelbottom=lowest and part == len(heights) - 1)
            axes[row, part, column] = each
    return figure, axes


def grid_labels(figure: Figure, x: str, y: str, handles: list[Any], title: str = "") -> None:
    """Write the labels of a `panel_grid` and its legend, and draw its inner axes."""
    width, height = figure.get_size_inches()
    figure.supxlabel(x, y=0.12 / height, va="bottom", x=0.5 * (1 - 1.2 / width))
    figure.supylabel(fill(y, int(13 * height)), x=0.08 / width, ha="left")
    figure.legend(handles=handles, loc="center left", bbox_to_anchor=(1 - 2.05 / width, 0.5), title=title or None)
    lines = [line for axes in figure.axes for line in _inner_lines(axes)]
    look = {"colors": "black", "linewidths": matplotlib.rcParams["axes.linewidth"], "zorder": 1}
    figure.add_artist(LineCollection(lines, transform=figure.dpi_scale_trans, **look))


def _inner_lines(axes: Axes) -> Iterator[np.ndarray]:
    """Yield spine and tick marks (inches) of every axis without labels, and hide it: each tick is five artists."""
    sides = (axes.xaxis, "bottom", axes.get_xaxis_transform), (axes.yaxis, "left", axes.get_yaxis_transform)
    for along, (axis, side, transform) in enumerate(sides):
        if axis.get_tick_params()[f"label{side}"]:
            continue
        axis.set_visible(False)
        axes.spines[side].set_visible(False)
        low, high = axis.get_view_interval()
        places = [low, high, *(tick for tick in axis.get_majorticklocs() if low <= tick <= high)]
        points = np.zeros((len(places), 2))
        points[:, along] = places
        starts = transform("tick1").transform(points) / axes.figure.dpi
        ends = starts.copy()
        ends[:, 1 - along] -= matplotlib.rcParams["xtick.major.size"] / 72
        yield starts[:2]
        yield from np.stack([starts, ends], axis=1)[2:]
