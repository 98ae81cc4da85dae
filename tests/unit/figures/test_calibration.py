"""Calibration: the paths, and how near to its target each search came."""

import polars as pl
import pytest
from figure_examples import (
    METHODS,
    PROMPTS,
    STUDIES,
    assert_legend_is_beside,
    assert_legible,
    calibration,
    legend_texts,
    panel,
    render,
    targets,
    with_prompts,
)
from steerdose.columns import METHOD
from steerdose.figures import calibration as drawn
from steerdose.figures.calibration import NOT_CONVERGED

pytestmark = pytest.mark.filterwarnings("error")  # constrained layout warns when it gives up


def doses(table):
    """c_star of every method and sign, known to -10 and +20 %."""
    own = table.drop_nulls("coefficient").select(*METHOD, "sign").unique(maintain_order=True)
    return own.with_columns(c_star=2.0, c_star_low=1.8, c_star_high=2.4, relative_dose=0.2)


def calibration_figure(table, *options):
    return drawn.calibration_figure(table, doses(table), *options)


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


def test_the_interval_of_c_star_stands_in_the_methods_rows():
    known = calibration_figure(calibration(["lora", "mean"]), 0.05, "p95").axes[2]
    bars = [container.lines[2][0].get_segments()[0].tolist() for container in known.containers]
    assert [pytest.approx(row) for row in (-0.2, 0.2, 0.8, 1.2)] == [bar[0][1] for bar in bars]
    assert all([bar[0][0], bar[1][0]] == pytest.approx([0.9, 1.2]) for bar in bars)


def test_calibration_points_without_statistics_are_left_out():
    table = calibration(["lora"])
    overflow = table.head(1).with_columns(coefficient=pl.lit(1e6), p95=pl.lit(None, pl.Float64), step=pl.lit(4))
    figure = calibration_figure(pl.concat([table, overflow.select(table.columns)], how="vertical_relaxed"), 0.05, "p95")
    render(figure)
    assert panel(figure, "seed 0").get_xlim()[1] < 10


def test_prompts_are_horizontal_lines_in_the_calibration_figure():
    prompts = calibration(PROMPTS).filter(split="calibration").with_columns(p95=pl.col("p95") * 7)
    figure = calibration_figure(with_prompts(calibration(["lora"]), prompts), 0.05, "p95")
    assert_legend_is_beside(figure, render(figure))
    assert legend_texts(figure)[0] == "lora"
    assert legend_texts(figure)[-4:] == ["simple", "simple, negative", "engineered", "engineered, negative"]
    axes = panel(figure, "seed 0")
    flat = [line.get_ydata()[0] for line in axes.lines if line.get_linewidth() == 1.1 and len(line.get_xdata()) == 2]
    assert flat == [7.0] * 4, "the audit is none of them"
    assert axes.get_ylim()[1] > 7


def test_every_sign_has_its_own_band():
    by_sign = targets(["lora"]).with_columns(target=pl.when(pl.col("sign") == "negative").then(3.0).otherwise(0.5))
    figure = calibration_figure(by_sign, 0.1, "p95")
    bands = [(band.get_y(), band.get_height()) for band in panel(figure, "seed 0").patches]
    assert bands == [pytest.approx((0.45, 0.1)), pytest.approx((2.7, 0.6))]
    assert "targets ± 10 %" in legend_texts(figure)


def marks(axes, marker):
    """The places of points with a marker."""
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() == marker]


def test_a_search_that_missed_its_target_is_crossed():
    """The negative sign of one method ends at 0.6 of its target, its audit is not counted."""
    missed = (pl.col("method") == "mean") & (pl.col("sign") == "negative") & (pl.col("split") != "audit")
    table = calibration(["lora", "mean"]).with_columns(p95=pl.when(missed).then(0.6 * pl.col("p95")).otherwise("p95"))
    figure = calibration_figure(table, 0.05, "p95")
    path, result, _ = figure.axes
    assert marks(path, "X") == [(pytest.approx(4.8), pytest.approx(0.6))]
    assert marks(result, "X") == [(pytest.approx(0.6), pytest.approx(1.2))]
    assert NOT_CONVERGED in legend_texts(figure)
    within = calibration_figure(table, 0.45, "p95")
    assert not [mark for axes in within.axes for mark in marks(axes, "X")]
    assert NOT_CONVERGED not in legend_texts(within)


def test_a_missed_target_is_crossed_where_the_audit_overflowed():
    table = calibration(["lora"]).with_columns(
        p95=pl.when(pl.col("split") == "audit").then(None).otherwise(0.5 * pl.col("p95"))
    )
    assert len(marks(calibration_figure(table, 0.05, "p95").axes[1], "X")) == 2


@pytest.mark.parametrize("name", STUDIES)
def test_nothing_overlaps(name):
    study = STUDIES[name]
    assert_legible(calibration_figure(study.calibrations, 0.05, "p95", study.panels))
