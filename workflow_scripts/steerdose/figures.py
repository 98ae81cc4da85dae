"""Frames in, matplotlib Figures out: survival, KL along trajectories, calibration paths and training losses."""

from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from .tables import KEYS, replacing

CELL = ("model", "behavior", "seed")
STYLE = {
    **{"font.size": 10, "figure.labelsize": 10, "axes.titlesize": 10, "xtick.labelsize": 9, "ytick.labelsize": 9},
    **{"axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False},
    **{"xtick.minor.size": 0, "ytick.minor.size": 0},
}
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
Style = dict[str, Any]  # Line2D properties
END: Style = {"color": "black", "linestyle": "", "marker": "|", "markersize": 8, "markeredgewidth": 1.2}


def save(figure: Figure, png: str | Path, svg: str | Path) -> None:
    """Write both files; equal figures give equal bytes, since ids are salted and dates and versions left out."""
    with matplotlib.rc_context({"svg.hashsalt": "steerdose"}), replacing(png) as pixels, replacing(svg) as vectors:
        figure.savefig(pixels, dpi=160, metadata={"Software": None})
        figure.savefig(vectors, metadata={"Date": None, "Creator": None})


@matplotlib.rc_context(STYLE)
def survival_figure(curve: pl.DataFrame) -> Figure:
    """Draw `kaplan_meier`'s curve: a panel a method with its numbers at risk below, a step curve a dose.

    Markers sit at deaths and, for every dose and prompt at other places along t, on the curve itself: curves that
    coincide are told apart without moving them. A curve stops where nobody is left at risk, unless all have died.
    Prompts are reference lines in every panel of their cell.
    """
    prompts = curve.filter(pl.col("method").is_in(_prompt_methods(curve)))
    curve = curve.join(prompts, on="method", how="anti", maintain_order="left")
    looks = _prompt_looks(prompts.with_columns(_sign_of_alpha()).filter(pl.col("alpha") != 0))
    styles, times = _dose_styles(sorted(curve["alpha"].unique())), sorted(curve["t"].unique())
    columns, rows = _arrange(curve, CELL, "method", most=4)
    heights = (2.9, 0.35 + 0.17 * len(styles))
    figure = Figure((1.9 + (4.2 if columns == 1 else 2.9) * columns, sum(heights) * len(rows)), layout="constrained")
    axes = figure.subplots(2 * len(rows), columns, squeeze=False, height_ratios=heights * len(rows))
    for (upper, lower), title, panel in _panels(rows, axes.reshape(len(rows), 2, columns)):
        for each in (upper, lower):
            each.set_xscale("symlog", linthresh=1, linscale=0.3)
            each.set_xlim(0, times[-1])
        ticks = _sparse(upper, times)
        upper.set(title=title, ylim=(0, 1), xlabel="tokens generated")
        upper.set_xticks(ticks, [str(tick) for tick in ticks])
        upper.spines[["left", "bottom"]].set_position(("outward", 5))  # curves at 0 stay clear of the axis lines
        slots = _slots(upper, times[-1], len(styles) + len(looks))
        _draw_curves(upper, panel, styles, slots)
        _draw_prompts(upper, prompts.join(panel, on=CELL, how="semi", maintain_order="left"), looks, slots)
        _draw_at_risk(lower, panel, styles, ticks)
    for upper, lower in zip(axes[::2, 0], axes[1::2, 0], strict=True):
        upper.set_ylabel("share of trajectories\nthat can still answer")
        lower.set_title("number at risk, by alpha", fontsize=9)
    for inner in axes[:, 1:].flat:
        inner.tick_params(labelleft=False)
    doses = [Line2D([], [], label=f"{alpha:g}" if alpha else "0 (unsteered)", **styles[alpha]) for alpha in styles]
    band = Patch(facecolor="0.85", label="confidence\ninterval")
    figure.legend(
        handles=[*doses, band, *_prompt_handles(looks)],
        loc="outside right center",
        title="alpha (multiple of\nthe calibrated dose)",
    )
    return figure


def _dose_styles(alphas: Sequence[float]) -> dict[float, Style]:
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


def _sparse(axes: Axes, times: Sequence[int]) -> list[int]:
    """Choose fork times whose labels fit side by side: first and last, and between them those an eighth apart."""
    place = axes.xaxis.get_transform().transform(np.asarray(times, dtype=float))
    gap = (place[-1] - place[0]) / 8.5
    kept = [len(times) - 1]
    for i in range(len(times) - 2, 0, -1):
        if place[kept[-1]] - place[i] >= gap and place[i] - place[0] >= gap:
            kept.append(i)
    return [times[i] for i in sorted({0, *kept})]


def _prompt_methods(frame: pl.DataFrame) -> list[str]:
    """Return the methods whose coefficient is null: they are prompts."""
    return frame.filter(pl.col("coefficient").is_null())["method"].unique(maintain_order=True).to_list()


def _sign_of_alpha() -> pl.Expr:
    return pl.when(pl.col("alpha") < 0).then(pl.lit("negative")).otherwise(pl.lit("positive")).alias("sign")


def _prompt_looks(prompts: pl.DataFrame) -> dict[tuple[str, str], Style]:
    """Line2D properties of every (method, sign): thin, a marker and one more dot behind the dash for each method."""
    looks = {}
    for i, method in enumerate(prompts["method"].unique(maintain_order=True)):
        signs = prompts.filter(method=method)["sign"].unique()
        for sign in (sign for sign in PROMPT_SIGNS if sign in signs):
            dashes = (0, (8, 2.5, *[1.2, 2.5] * (i + 1)))
            marker = {"marker": PROMPT_MARKERS[i % len(PROMPT_MARKERS)], "markersize": 6}
            looks[method, sign] = {"color": PROMPT_SIGNS[sign][0], "linestyle": dashes, "linewidth": 1.1} | marker
    return looks


def _prompt_handles(looks: dict[tuple[str, str], Style]) -> list[Line2D]:
    return [
        Line2D([], [], label=fill(method + PROMPT_SIGNS[sign][1], 24), **look) for (method, sign), look in looks.items()
    ]


def _draw_prompts(
    axes: Axes, prompts: pl.DataFrame, looks: dict[tuple[str, str], Style], slots: list[np.ndarray]
) -> None:
    own_slots = dict(zip(looks, slots[-len(looks) :], strict=False))
    reached = _reached(prompts.with_columns(_sign_of_alpha()).filter(pl.col("alpha") != 0))
    for (method, sign), seen in reached.group_by("method", "sign", maintain_order=True):
        t, survival = np.r_[0, seen["t"]], np.r_[1, seen["survival"]]
        look, marked = looks[str(method), str(sign)], own_slots[str(method), str(sign)]
        marked = marked[marked <= t[-1]]
        value = survival[np.searchsorted(t, marked, side="right") - 1]
        axes.plot(t, survival, drawstyle="steps-post", clip_on=False, zorder=6, **(look | {"marker": ""}))
        axes.plot(marked, value, clip_on=False, zorder=6, **(look | {"linestyle": ""}))


def _reached(curves: pl.DataFrame) -> pl.DataFrame:
    """Return the part of curves where somebody is at risk or all have died, in order."""
    return curves.filter((pl.col("at_risk") > 0) | (pl.col("survival") == 0)).sort("method", "alpha", "t")


def _slots(axes: Axes, window: int, count: int) -> list[np.ndarray]:
    """Return two places along t for the markers of each of `count` curves, evenly spread over the axis."""
    to_axis = axes.xaxis.get_transform()
    slots = to_axis.inverted().transform(np.linspace(0.02, 0.98, 2 * count) * to_axis.transform([window])[0])
    return [slots[i::count] for i in range(count)]


def _draw_curves(axes: Axes, panel: pl.DataFrame, styles: dict[float, Style], slots: list[np.ndarray]) -> None:
    panel = _reached(panel)
    spans = panel.with_columns(width=pl.col("t").shift(-1).over("alpha") - pl.col("t")).drop_nulls("width")
    # Equal bounds of several doses are shaded once: a pile of the same band would look like an especially sure one.
    bands = spans.unique(["t", "ci_low", "ci_high"], keep="first", maintain_order=True)
    shades: Style = {"color": [styles[alpha]["color"] for alpha in bands["alpha"]], "alpha": 0.1, "linewidth": 0}
    axes.bar(bands["t"], bands["ci_high"] - bands["ci_low"], bands["width"], bands["ci_low"], align="edge", **shades)
    for seen in panel.partition_by("alpha", maintain_order=True):
        i, style = list(styles).index(seen["alpha"][0]), styles[seen["alpha"][0]]
        t, survival = np.r_[0, seen["t"]], np.r_[1, seen["survival"]]
        marked = np.r_[slots[i][slots[i] <= t[-1]], seen.filter(pl.col("events") > 0)["t"]]
        value = survival[np.searchsorted(t, marked, side="right") - 1]
        order = 2 + i / len(styles) if seen["alpha"][0] else 3  # the dashed black line lies on top
        axes.plot(t, survival, drawstyle="steps-post", clip_on=False, zorder=order, **(style | {"marker": ""}))
        axes.plot(marked, value, clip_on=False, zorder=order + 2, **(style | {"linestyle": ""}))


def _draw_at_risk(axes: Axes, panel: pl.DataFrame, styles: dict[float, Style], ticks: list[int]) -> None:
    """Write numbers at risk below the ticks, a row a dose with its marker at the left."""
    beside = axes.get_yaxis_transform() + ScaledTranslation(-18 / 72, 0, axes.figure.dpi_scale_trans)
    rows = {alpha: row for row, alpha in enumerate(styles)}
    for alpha, t, at_risk in panel.filter(pl.col("t").is_in(ticks)).select("alpha", "t", "at_risk").iter_rows():
        axes.text(t, rows[alpha], str(at_risk), ha="center", va="center", fontsize=8, in_layout=False)
    for alpha, row in rows.items():
        axes.plot([0], [row], transform=beside, clip_on=False, **(styles[alpha] | {"linestyle": ""}))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [f"{alpha:g}" for alpha in rows], fontsize=8)
    axes.tick_params(left=False, pad=22)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)


@matplotlib.rc_context(STYLE)
def spaghetti_figure(tokens: pl.DataFrame, lifetimes: pl.DataFrame, calibration: pl.DataFrame) -> Figure:
    """Draw KL (nats) against t, a panel a dose, a line a trajectory that turns dark at the fork where it died.

    The black median is over the trajectories that have token t, while there are at least 3. The dotted line is the
    target (nats) of the dose's sign, from the table of its calibration; prompts have none.
    """
    targets = calibration.select(*CELL, "method", "sign", "target").unique()
    joined = tokens.join(lifetimes, on=KEYS, nulls_equal=True, maintain_order="left")
    of_methods = joined.partition_by(*CELL, "method", maintain_order=True)
    joined = pl.concat([part.sort("alpha", "t", maintain_order=True) for part in of_methods])
    joined = joined.with_columns(_sign_of_alpha())
    joined = joined.join(targets, on=[*CELL, "method", "sign"], how="left", validate="m:1", maintain_order="left")
    levels = joined["target"].drop_nulls().unique().sort()
    columns, rows = _arrange(joined, (*CELL, "method"), "alpha", most=6)
    figure = Figure((1.6 + 1.9 * max(columns, 2), 0.4 + 2.0 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    first = axes[0, 0]
    first.set_yscale("symlog", linthresh=KL_TICKS[1], linscale=0.5)
    first.set_yticks(KL_TICKS, [f"{tick:g}" for tick in KL_TICKS])
    first.set(xlim=(0, joined["t"].max()), ylim=(0, 1.3 * max([joined["kl"].max(), *levels])))
    for (each,), title, panel in _panels(rows, axes[:, None]):
        each.set_title(title)
        each.spines[["left", "bottom"]].set_position(("outward", 5))
        _draw_trajectories(each, panel)
        for target in panel["target"].drop_nulls().unique():
            each.axhline(target, color="black", linestyle=":", linewidth=1.2)
    figure.supxlabel("tokens generated")
    figure.supylabel("KL of steered against unsteered (nats)")
    handles = [
        Line2D([], [], color=ALIVE, label="can still answer"),
        Line2D([], [], color=DEAD, label="no longer can"),
        Line2D([], [], color="black", linewidth=1.2, label="median"),
        Line2D(
            [],
            [],
            color="black",
            linestyle=":",
            linewidth=1.2,
            label="target" + (f", {levels[0]:g} nats" if len(levels) == 1 else ""),
        ),
        Line2D([], [], label="ended by itself", **END),
    ]
    figure.legend(handles=handles, loc="outside right center")
    return figure


def _draw_trajectories(axes: Axes, panel: pl.DataFrame) -> None:
    alive, dead, ends = [], [], []
    for trajectory in panel.partition_by("prompt_id", maintain_order=True):
        points = trajectory.select("t", "kl").to_numpy()
        duration, died, ended = trajectory.select("duration", "died", "ended").row(0)
        alive.append(points[points[:, 0] <= duration] if died else points)
        dead.append(points[points[:, 0] >= duration] if died else points[:0])
        ends += [points[-1]] if ended else []
    for lines, color in ((alive, ALIVE), (dead, DEAD)):
        axes.add_collection(LineCollection(lines, colors=color, linewidths=0.5, clip_on=False))
    median = panel.group_by("t").agg(pl.col("kl").median(), pl.len()).filter(pl.col("len") >= 3).sort("t")
    axes.plot(median["t"], median["kl"], color="black", linewidth=1.2, clip_on=False, path_effects=HALO)
    if ends:
        axes.plot(*np.transpose(ends), clip_on=False, zorder=4, path_effects=HALO, **END)


@matplotlib.rc_context(STYLE)
def calibration_figure(calibration: pl.DataFrame, tolerance: float, statistic: str) -> Figure:
    """Draw the evaluations of `statistic` (nats) against |coefficient|, a panel a seed, a line a method and sign.

    Lines run in the order of the coefficient. A band is a target * (1 +- tolerance). Audit points are hollow. Prompts
    are horizontal lines at their statistic.
    Coefficient 0 has no place on a logarithmic axis, nor has a null, where logits were not finite.
    """
    positive = calibration.with_columns(pl.col("coefficient").abs()).filter(pl.col("coefficient") > 0)
    positive = positive.drop_nulls(statistic)
    prompts = calibration.filter(pl.col("method").is_in(_prompt_methods(calibration)), split="calibration")
    prompt_looks = _prompt_looks(prompts)
    columns, rows = _arrange(positive, CELL[:2], "seed", most=3)
    looks: dict[str, Style] = {
        method: {"color": METHOD_COLORS[i % len(METHOD_COLORS)], "linestyle": METHOD_DASHES[i % len(METHOD_DASHES)]}
        for i, method in enumerate(positive["method"].unique(maintain_order=True))
    }
    figure = Figure((2.0 + (4.0 + 0.3 * len(looks)) * columns, 4.0 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    for (each,), title, panel in _panels(rows, axes[:, None]):
        each.set(title=title, xscale="log", yscale="log")
        for axis, values in ((each.xaxis, positive["coefficient"]), (each.yaxis, calibration[statistic].drop_nulls())):
            ticks = LogLocator(subs=(1,) if np.ptp(np.log10(values.to_numpy())) > 2.5 else (1, 2, 5))
            axis.set(major_locator=ticks, major_formatter="{x:g}", minor_formatter=NullFormatter())
        here = prompts.join(panel, on=CELL, how="semi", maintain_order="left")
        for target in panel["target"].unique().sort():
            each.axhspan(target * (1 - tolerance), target * (1 + tolerance), color="0.88", linewidth=0)
            if target not in here[statistic]:  # else the prompt's own line is the middle
                each.axhline(target, color="0.4", linewidth=0.8)
        for method, sign, value in here.select("method", "sign", statistic).iter_rows():
            each.axhline(value, **prompt_looks[method, sign], markevery=[1], clip_on=False)
        for (method, sign), path in panel.group_by("method", "sign", maintain_order=True):
            _draw_path(each, path.sort("coefficient"), statistic, looks[str(method)], SIGNS[str(sign)][1])
    figure.supxlabel("|coefficient|")
    figure.supylabel(f"{statistic} of KL per token (nats)")
    lines = [Line2D([], [], label=method, **look) for method, look in looks.items()]
    points: Style = {"color": "0.4", "linestyle": ""}
    signs = [Line2D([], [], marker=marker, label=f"{sign} sign", **points) for sign, (_, marker) in SIGNS.items()]
    audit = Line2D([], [], marker="o", markerfacecolor="none", label="audit (held out)", **points)
    targets = positive["target"].unique()
    what = f"target {targets[0]:g}" if len(targets) == 1 else "targets"
    band = Patch(facecolor="0.88", label=f"{what} ± {100 * tolerance:g} %")
    handles = [*lines, *signs, audit, band, *_prompt_handles(prompt_looks)]
    figure.legend(handles=handles, loc="outside right center")
    return figure


def _draw_path(axes: Axes, path: pl.DataFrame, statistic: str, look: Style, marker: str) -> None:
    evaluated, audit = path.filter(split="calibration"), path.filter(split="audit")
    axes.plot(evaluated["coefficient"], evaluated[statistic], marker=marker, markersize=4, linewidth=1.2, **look)
    hollow: Style = {"color": look["color"], "linestyle": "", "markersize": 8, "markerfacecolor": "none"}
    axes.plot(audit["coefficient"], audit[statistic], marker=marker, zorder=5, **hollow)


@matplotlib.rc_context(STYLE)
def training_figure(training: pl.DataFrame) -> Figure:
    """Draw train and held-out loss (nats per token) against the optimizer step, a panel a method, a colour a sign."""
    columns, rows = _arrange(training, CELL, "method", most=4)
    figure = Figure((2.2 + (4.2 if columns == 1 else 2.9) * columns, 0.6 + 2.6 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    looks: dict[str, Style] = {"train": {"linewidth": 1}, "heldout": {"linestyle": "--", "marker": "."}}
    for (each,), title, panel in _panels(rows, axes[:, None]):
        each.set_title(title)
        for (sign, split), line in panel.sort("step").group_by("sign", "split", maintain_order=True):
            each.plot(line["step"], line["loss"], color=SIGNS[str(sign)][0], **looks[str(split)])
    figure.supxlabel("optimizer step")
    figure.supylabel("loss (nats per token)")
    handles = [
        Line2D([], [], color=color, label=f"{sign} sign, {split}", **look)
        for sign, (color, _) in SIGNS.items()
        for split, look in looks.items()
    ]
    figure.legend(handles=handles, loc="outside right center")
    return figure


def _arrange(frame: pl.DataFrame, by: Sequence[str], panel: str, most: int) -> tuple[int, list[list[Panel]]]:
    """Return the number of columns, at most `most`, and rows of titled panels, one a value of `panel`.

    Every group of `by` starts a row, and the title of its first panel is headed by the group's name.
    """
    groups = frame.partition_by(by, maintain_order=True)
    widest = max(group[panel].n_unique() for group in groups)
    columns = ceil(widest / ceil(widest / most))
    rows: list[list[Panel]] = []
    for group in groups:
        panels = [(_title(panel, part[panel][0]), part) for part in group.partition_by(panel, maintain_order=True)]
        heading = fill(", ".join(_title(name, group[name][0]) for name in by), 30 * columns)
        panels[0] = (f"{heading}\n{panels[0][0]}", panels[0][1])
        rows += [panels[start : start + columns] for start in range(0, len(panels), columns)]
    return columns, rows


def _title(column: str, value: str | float) -> str:
    return fill(value, 30) if isinstance(value, str) else f"{column} {value:g}"


def _panels(rows: list[list[Panel]], axes: np.ndarray) -> Iterator[tuple[np.ndarray, str, pl.DataFrame]]:
    """Pair panels with their axes, (rows, axes of one panel, columns), and remove the axes that have no panel."""
    for row, panels in enumerate(rows):
        for column, panel in enumerate(panels):
            yield axes[row, :, column], *panel
        for column in range(len(panels), axes.shape[2]):
            axes[row - 1, -1, column].tick_params(labelbottom=True)
            for unused in axes[row, :, column]:
                unused.remove()
