"""Survival by method."""

import matplotlib
import numpy as np
import polars as pl
import pytest
from figure_examples import (
    ALPHAS,
    GRID,
    METHODS,
    PROMPTS,
    STUDIES,
    assert_legend_is_beside,
    assert_legible,
    curve,
    legend_texts,
    lived,
    overlaps,
    panel,
    render,
    with_prompts,
)
from steerdose.figures.survival import survival_figure
from steerdose.survival.kaplan_meier import estimate_survival

pytestmark = pytest.mark.filterwarnings("error")  # constrained layout warns when it gives up


@pytest.mark.parametrize(("methods", "alphas"), [(["lora"], [0.0]), (["lora"], [1.0]), (METHODS, ALPHAS)])
def test_survival_figure_has_a_panel_a_method_and_nothing_overlaps(methods, alphas):
    three_digits = pl.col("at_risk") * 300
    figure = survival_figure(curve(methods, alphas).with_columns(three_digits))
    renderer = render(figure)
    assert len(figure.axes) == 2 * len(methods)
    assert len(legend_texts(figure)) == len(alphas) + 1
    assert_legend_is_beside(figure, renderer)
    assert not overlaps([axes.get_tightbbox(renderer) for axes in figure.axes])
    tables = [axes for axes in figure.axes if axes.texts]
    assert len(tables) == len(methods)
    for axes in tables:
        numbers = [text.get_window_extent(renderer) for text in axes.texts]
        assert len(numbers) >= 2 * len(alphas)
        labels = [label.get_window_extent(renderer) for label in axes.get_yticklabels() if label.get_visible()]
        assert not overlaps(numbers + labels)


def test_survival_curves_keep_their_values_and_their_own_marker_places():
    figure = survival_figure(curve(["lora"], [0.0, 0.5, 1.0, 3.0]))
    axes = panel(figure, "lora")
    steps = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert [line.get_ydata().tolist() for line in steps[:3]] == [[1.0] * 12] * 3
    assert steps[3].get_ydata() == pytest.approx([1, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 3, 0, 0, 0])
    places = [line.get_xdata().tolist() for line in axes.lines if line.get_drawstyle() != "steps-post"][:3]
    assert len({x for xs in places for x in xs}) == sum(len(xs) for xs in places) == 6
    assert axes.get_xlim() == (0, 128)
    assert axes.get_ylim() == (0, 1)


def test_survival_curve_stops_where_nobody_is_left():
    observed = lived(["lora"], [1.0]).with_columns(duration=pl.lit(20), ended=pl.lit(True))
    ended = estimate_survival(observed, GRID)[0].with_columns(endpoint=pl.lit("text"))
    axes = panel(survival_figure(ended), "lora")
    assert axes.lines[0].get_xdata().tolist() == [0, *GRID[:7]]


def test_survival_doses_get_darker_and_signs_differ():
    figure = survival_figure(curve(["lora"], ALPHAS))
    lines = dict(zip(legend_texts(figure), figure.legends[0].get_lines(), strict=False))
    luminance = [np.dot(matplotlib.colors.to_rgb(lines[f"{a:g}"].get_color()), (0.3, 0.59, 0.11)) for a in ALPHAS[4:]]
    assert luminance == sorted(luminance, reverse=True)
    assert len({lines[f"{a:g}"].get_marker() for a in ALPHAS[4:]}) == len(ALPHAS[4:])
    assert lines["-1"].get_linestyle() != lines["1"].get_linestyle()
    assert (lines["0 (unsteered)"].get_color(), lines["0 (unsteered)"].get_linestyle()) == ("black", "--")


def test_numbers_at_risk_stand_below_their_fork():
    figure = survival_figure(curve(["lora"], [0.0, 3.0]))
    ticks = panel(figure, "lora").get_xticks().tolist()
    assert ticks[0] == 0 and ticks[-1] == 128
    expected = curve(["lora"], [0.0, 3.0]).filter(pl.col("t").is_in([int(tick) for tick in ticks]))
    shown = [(text.get_position(), text.get_text()) for text in figure.axes[1].texts]
    rows = expected.select("t", pl.col("alpha") > 0, "at_risk").rows()
    assert shown == [((t, int(row)), str(at_risk)) for t, row, at_risk in rows]


def test_cells_have_their_own_titled_rows():
    both = pl.concat([curve(["lora", "mean"], [0.0, 1.0], ["one"]), curve(["lora"], [0.0, 1.0], ["two"])])
    figure = survival_figure(both)
    assert_legend_is_beside(figure, render(figure))
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_xlabel()]
    assert titles == ["one, b, seed 0\nlora", "mean", "two, b, seed 0\nlora"]


def test_prompts_are_reference_lines_in_every_survival_panel_of_their_cell():
    steered = curve(["lora", "mean"], [0.0, 1.0, 3.0], ["one", "two"])
    prompts = curve(PROMPTS, [-1.0, 0.0, 1.0], ["one"]).with_columns(survival=pl.col("survival") * 0.6)
    figure = survival_figure(with_prompts(steered, prompts))
    render(figure)
    assert_legend_is_beside(figure, figure.canvas.get_renderer())
    names = ["simple", "simple, negative", "engineered", "engineered, negative"]
    assert legend_texts(figure)[-4:] == names
    lines = figure.legends[0].get_lines()[-4:]
    assert len({(line.get_color(), str(line._dash_pattern)) for line in lines}) == 4
    assert {line.get_color() for line in lines} == {"black", "0.5"}
    panels = [axes for axes in figure.axes if axes.get_xlabel()]
    assert [axes.get_title(loc="left").split("\n")[-1] for axes in panels] == ["lora", "mean"] * 2
    for axes, expected in zip(panels, [4, 4, 0, 0], strict=True):
        drawn = [line for line in axes.lines if line.get_drawstyle() == "steps-post" and line.get_linewidth() == 1.1]
        assert [line.get_ydata()[1] for line in drawn] == [0.6] * expected


@pytest.mark.parametrize("name", STUDIES)
def test_nothing_overlaps(name):
    study = STUDIES[name]
    assert_legible(survival_figure(study.curves, study.panels))
