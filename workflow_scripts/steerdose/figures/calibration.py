"""The search for each dose: KL against the coefficient, and how near to its target the chosen one came."""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from steerdose.columns import CELL, METHOD, has_dose
from steerdose.declarations.dose import CALIBRATION, DOSES
from steerdose.figures.choice import EVERY, evenly, note
from steerdose.figures.style import (
    SIGNS,
    Style,
    arrange,
    drawing,
    method_styles,
    note_handles,
    panels_on,
    prompt_handles,
    prompt_looks,
    save,
)
from steerdose.files import read_tables
from steerdose.study.published import Panels, PlotCalibration

HOLLOW: Style = {"linestyle": "", "markersize": 7, "markerfacecolor": "none", "markeredgewidth": 1.2}
FULL: Style = {"linestyle": "", "markersize": 5}
MISSED: Style = {"linestyle": "", "marker": "X", "markersize": 9, "markerfacecolor": "white", "markeredgewidth": 1.2}
NOT_CONVERGED = "dose not converged"
SHOWN_DOSE = ("sign", "c_star", "c_star_low", "c_star_high")
NEAR = (0.5, 0.8, 1, 1.25, 2, 4)  # ratios to the target
Looks = dict[str, Style]


def plot_calibration(*, tables: list[str], doses: list[str], settings: PlotCalibration, png: str, svg: str) -> None:
    """Draw `calibration_figure` of the calibrations of all methods."""
    rows, known = read_tables(tables, CALIBRATION), read_tables(doses, DOSES)
    figure = calibration_figure(rows, known, settings.tolerance, settings.statistic, settings)
    save(figure, png, svg)


def chosen_doses(calibration: pl.DataFrame, tolerance: float, statistic: str) -> pl.DataFrame:
    """Return the evaluations on all calibration prompts, with a column `missed`.

    Each is of the coefficient that a search found. It missed where the statistic of that search is further from the
    target than `tolerance` (relative): the search did not converge.
    """
    where = [*METHOD, "sign", "coefficient"]
    searched = calibration.filter(split="search").select(*where, pl.col(statistic).alias("found"))
    whole = calibration.filter(has_dose(), pl.col("split") == "calibration")
    chosen = whole.join(searched, on=where, how="left", maintain_order="left")
    missed = (pl.col("found") / pl.col("target") - 1).abs() > tolerance
    return chosen.with_columns(missed=missed.fill_null(value=False)).drop("found")


@drawing()
def calibration_figure(
    calibration: pl.DataFrame, doses: pl.DataFrame, tolerance: float, statistic: str, panels: Panels = EVERY
) -> Figure:
    """Draw three panels a cell: the evaluations of `statistic` (nats), how near they came to the targets, and c_star.

    Left: against |coefficient|, a line a method and sign through the evaluations of its search, in the order of the
    coefficient; prompts are horizontal lines at their statistic. Middle, a row a method: statistic / target of the
    coefficient that the search found, on all calibration prompts (filled), and of c_star, the step from there to the
    target, on held-out ones (hollow). A band is a target * (1 +- tolerance); a search that ended outside is crossed.
    Right: the interval of c_star over c_star, from resampled prompts; doses: the table of these.
    Coefficient 0 has no place on a logarithmic axis, nor has a null, where logits were not finite.
    """
    calibration = evenly(calibration, panels)
    chosen = chosen_doses(calibration, tolerance, statistic).with_columns(pl.col("coefficient").abs())
    calibration = calibration.drop_nulls(statistic)
    steered = calibration.filter(has_dose(), pl.col("coefficient") != 0).with_columns(pl.col("coefficient").abs())
    prompts = calibration.filter(~has_dose(), pl.col("split") == "calibration")
    prompt_styles = prompt_looks(prompts)
    looks = method_styles(steered["method"].unique(maintain_order=True).to_list())
    _, rows = arrange(steered, CELL[:2], "seed", most=1)
    missed = bool(chosen["missed"].any())
    handles = [*_handles(looks, steered["target"].unique(), tolerance, missed), *prompt_handles(prompt_styles)]
    handles += note_handles(note(panels, "methods"))
    height = max(4.0, 1.2 + 0.3 * len(looks)) * len(rows)
    figure = Figure((12.5, max(height, 0.3 + 0.21 * _lines(handles))), layout="constrained")
    axes = figure.subplots(len(rows), 3, squeeze=False, sharex="col", width_ratios=(3, 2, 1.6))
    highest = pl.concat([steered[statistic], prompts[statistic]])
    for (path, result, known), title, panel in panels_on(rows, axes[:, :, None]):
        here = prompts.join(panel, on=CELL, how="semi", maintain_order="left")
        path.set(title=title, xscale="log", yscale="log", ylabel=f"{statistic} of KL per token (nats)")
        for axis, values in ((path.xaxis, steered["coefficient"]), (path.yaxis, highest)):
            ticks = LogLocator(subs=(1,) if np.ptp(np.log10(values.to_numpy())) > 2 else (1, 2, 5))
            axis.set(major_locator=ticks, major_formatter="{x:g}", minor_formatter=NullFormatter())
        _draw_targets(path, panel, here, statistic, tolerance)
        for method, sign, value in here.select("method", "sign", statistic).iter_rows():
            path.axhline(value, **prompt_styles[method, sign], markevery=[1], clip_on=False)
        ends = chosen.join(panel, on=CELL, how="semi", maintain_order="left")
        _draw_paths(path, panel, ends.filter("missed"), statistic, looks)
        _draw_known(known, doses.join(panel, on=[*METHOD, "sign"], how="semi", maintain_order="left"), looks)
        _draw_results(result, panel.filter(split="audit"), ends, statistic, tolerance, looks)
    axes[-1, 0].set_xlabel("|coefficient|")
    axes[-1, 1].set_xlabel(f"{statistic} over target, all prompts and held out")
    axes[-1, 2].set_xlabel("c_star, 95 % interval\nover its estimate")
    figure.legend(handles=handles, loc="outside right center")
    return figure


def _handles(looks: Looks, targets: pl.Series, tolerance: float, missed: bool) -> list[Line2D | Patch]:
    lines = [Line2D([], [], **look | {"label": method, "marker": ""}) for method, look in looks.items()]
    grey: Style = {"color": "0.4"}
    signs = [Line2D([], [], marker=m, label=f"{sign} sign", **FULL | grey) for sign, (_, m) in SIGNS.items()]
    audit = Line2D([], [], marker="o", label="audit (held out)", **HOLLOW | grey)
    cross = [Line2D([], [], label=NOT_CONVERGED, **MISSED | grey)] if missed else []
    what = f"target {targets[0]:g}" if len(targets) == 1 else "targets"
    return [*lines, *signs, audit, *cross, Patch(facecolor="0.85", label=f"{what} ± {100 * tolerance:g} %")]


def _lines(handles: list[Line2D | Patch]) -> int:
    return sum(str(handle.get_label()).count("\n") + 1 for handle in handles)


def _draw_targets(axes: Axes, panel: pl.DataFrame, prompts: pl.DataFrame, statistic: str, tolerance: float) -> None:
    for target in panel["target"].unique().sort():
        axes.axhspan(target * (1 - tolerance), target * (1 + tolerance), color="0.85", linewidth=0)
        if target not in prompts[statistic]:  # else the prompt's own line is the middle
            axes.axhline(target, color="0.4", linewidth=0.8)


def _draw_paths(axes: Axes, panel: pl.DataFrame, missed: pl.DataFrame, statistic: str, looks: Looks) -> None:
    searched = panel.filter(split="search").sort("coefficient")
    for (method, sign), line in searched.group_by("method", "sign", maintain_order=True):
        look = looks[str(method)] | {"marker": SIGNS[str(sign)][1], "markersize": 3, "markeredgewidth": 0}
        axes.plot(line["coefficient"], line[statistic], **look)
    for method, coefficient, value in missed.select("method", "coefficient", statistic).iter_rows():
        axes.plot([coefficient], [value], color=looks[method]["color"], zorder=4, **MISSED)


def _draw_known(axes: Axes, doses: pl.DataFrame, looks: Looks) -> None:
    """Draw how well c_star is known, in the rows of the results."""
    axes.axvline(1, color="0.4", linewidth=0.8)
    for row, method in enumerate(looks):
        for sign, c_star, *ends in doses.filter(method=method).select(SHOWN_DOSE).drop_nulls().iter_rows():
            height = row + (0.2 if sign == "negative" else -0.2)
            look = {"color": looks[method]["color"], "marker": SIGNS[sign][1], "markersize": 4}
            low, high = (end / c_star for end in ends)
            axes.errorbar(1, height, xerr=[[max(1 - low, 0)], [max(high - 1, 0)]], capsize=2, linewidth=1.2, **look)
    axes.set(ylim=(len(looks) - 0.4, -0.6), yticks=[])


def _draw_results(
    axes: Axes, audits: pl.DataFrame, chosen: pl.DataFrame, statistic: str, tolerance: float, looks: Looks
) -> None:
    """Draw a row a method and half a row a sign."""
    rows = {method: row for row, method in enumerate(looks)}
    axes.axvspan(1 - tolerance, 1 + tolerance, color="0.85", linewidth=0)
    axes.axvline(1, color="0.4", linewidth=0.8)
    for points, kind in ((audits, HOLLOW), (chosen.filter(~pl.col("missed")), FULL), (chosen.filter("missed"), MISSED)):
        for method, sign, value, target in points.select("method", "sign", statistic, "target").iter_rows():
            height = rows[method] + (0.2 if sign == "negative" else -0.2)
            look = {"marker": SIGNS[sign][1], "color": looks[method]["color"], **kind}
            axes.plot(value / target, height, **look)
    low, high = axes.get_xlim()
    axes.set(xscale="log", xlim=(min(low, 0.7), max(high, 1.4)), ylim=(len(rows) - 0.4, -0.6))
    axes.set_xticks(NEAR, [f"{tick:g}" for tick in NEAR])
    axes.set_xlim(min(low, 0.7), max(high, 1.4))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(rows)), list(rows))
    axes.tick_params(left=False)
