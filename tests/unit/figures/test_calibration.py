"""Calibration paths and training losses."""

import polars as pl
import pytest
from figure_examples import (
    METHODS,
    PROMPTS,
    assert_legend_is_beside,
    calibration,
    legend_texts,
    panel,
    render,
    training,
    with_prompts,
)
from steerdose.figures.calibration import calibration_figure
from steerdose.figures.training import training_figure

pytestmark = pytest.mark.filterwarnings("error")  # constrained layout warns when it gives up


@pytest.mark.parametrize("methods", [["lora"], METHODS])
def test_calibration_figure_runs_with_its_legend_beside(methods):
    figure = calibration_figure(calibration(methods), 0.05, "p95")
    assert_legend_is_beside(figure, render(figure))
    assert legend_texts(figure)[: len(methods)] == methods
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.legends[0].get_lines()[: len(methods)]}
    assert len(looks) == len(methods)


def test_calibration_path_is_in_coefficient_order():
    axes = panel(calibration_figure(calibration(["lora"]), 0.05, "p95"), "seed 0")
    paths = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert [path.get_xdata().tolist() for path in paths] == [[1, 2, 3], pytest.approx([1.2, 2.4, 3.6])]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    band = axes.patches[0]
    assert (band.get_y(), band.get_height()) == pytest.approx((0.95, 0.1))


def test_calibration_results_stand_beside_their_target():
    result = calibration_figure(calibration(["lora", "mean"]), 0.05, "p95").axes[1]
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in result.lines[1:]]
    assert [label.get_text() for label in result.get_yticklabels()] == ["lora", "mean"]
    assert points == [(ratio, pytest.approx(row)) for ratio in (2, 1) for row in (-0.2, 0.2, 0.8, 1.2)]
    hollow = [line.get_markerfacecolor() == "none" for line in result.lines[1:]]
    assert hollow == [True] * 4 + [False] * 4
    left, right = result.get_xlim()
    assert left <= 0.7 and right > 2


def test_calibration_points_without_statistics_are_left_out():
    table = calibration(["lora"])
    overflow = table.head(1).with_columns(coefficient=pl.lit(1e6), p95=pl.lit(None, pl.Float64), step=pl.lit(4))
    figure = calibration_figure(pl.concat([table, overflow.select(table.columns)], how="vertical_relaxed"), 0.05, "p95")
    render(figure)
    assert panel(figure, "seed 0").get_xlim()[1] < 10


def test_prompts_are_horizontal_lines_in_the_calibration_figure():
    prompts = calibration(PROMPTS).filter(pl.col("step") == 3).with_columns(p95=pl.col("p95") * 7)
    figure = calibration_figure(with_prompts(calibration(["lora"]), prompts), 0.05, "p95")
    assert_legend_is_beside(figure, render(figure))
    assert legend_texts(figure)[0] == "lora"
    assert legend_texts(figure)[-4:] == ["simple", "simple, negative", "engineered", "engineered, negative"]
    axes = panel(figure, "seed 0")
    flat = [line.get_ydata()[0] for line in axes.lines if line.get_linewidth() == 1.1 and len(line.get_xdata()) == 2]
    assert flat == [7.0] * 4, "the audit is none of them"
    assert axes.get_ylim()[1] > 7


@pytest.mark.parametrize("methods", [["lora"], METHODS])
def test_training_figure_draws_both_splits_and_signs(methods):
    figure = training_figure(training(methods))
    assert_legend_is_beside(figure, render(figure))
    assert len(figure.axes) == len(methods)
    lines = panel(figure, methods[-1]).lines
    assert sorted(line.get_ydata()[0] for line in lines) == [3, 3, 4, 4]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 4
