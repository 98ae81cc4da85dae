"""The share dead against the dose: what a panel shows, from one method and dose to many, without overlaps."""

import polars as pl
import pytest
from dose_examples import cohort
from dose_figure_examples import SIZES, many, response
from figure_examples import (
    MANY_PANELS,
    assert_legend_is_beside,
    assert_legible,
    calibration,
    legend_texts,
    overlaps,
    panel,
    render,
)
from steerdose.figures.calibration import NOT_CONVERGED
from steerdose.figures.dose_response import dose_response_figure, with_missed
from steerdose.study.published import PlotCalibration

pytestmark = pytest.mark.filterwarnings("error")  # constrained layout warns when it gives up


@pytest.mark.parametrize("lives", SIZES.values(), ids=SIZES)
def test_panels_of_methods_do_not_overlap(lives):
    shares, table = response(*lives)
    figure = dose_response_figure(shares, table)
    renderer = render(figure)
    steered = [each["method"][0] for each in lives if each["coefficient"].null_count() == 0]
    assert len(figure.axes) == len(steered)
    assert_legend_is_beside(figure, renderer)
    for axes in figure.axes:
        labels = [label.get_window_extent(renderer) for label in axes.get_xticklabels() if label.get_visible()]
        assert not overlaps([axes.get_window_extent(renderer)] + [box for box in labels if box.width])
        assert axes.get_window_extent(renderer).width > 150


def test_points_curve_lethal_and_safe_dose_are_the_tables():
    shares, table = response(cohort([0, 0, 3, 9, 12]))
    axes = panel(dose_response_figure(shares, table), "lora")
    drawn = {(line.get_marker(), line.get_linestyle()): line for line in axes.lines}
    assert drawn["o", "None"].get_ydata().tolist() == [0, 0, 0.25, 0.75, 1]
    lethal = drawn["D", "-"]
    assert (lethal.get_xdata().tolist(), lethal.get_ydata().tolist()) == (table["ld50"].to_list(), [0.5])
    bars = [line for line in axes.lines if line.get_linewidth() == 2.4 and len(line.get_xdata()) == 2]
    assert [tuple(bar.get_xdata()) for bar in bars] == table.select("ld50_low", "ld50_high").rows()
    assert drawn["^", "None"].get_xdata().tolist() == [0.5]
    assert axes.get_xscale() == "log"


def test_a_lethal_dose_beyond_the_doses_is_an_arrow_to_its_side():
    never, always = (response(cohort([dead] * 5)) for dead in (0, 12))
    for (shares, table), arrow, end in ((never, ">", 1), (always, "<", 0)):
        axes = panel(dose_response_figure(shares, table), "lora")
        (mark,) = [line for line in axes.lines if line.get_marker() == arrow]
        assert mark.get_xdata()[0] == axes.get_xlim()[end]
        assert not [line for line in axes.lines if line.get_marker() == "D"]


def test_signs_and_prompts_have_their_own_looks():
    figure = dose_response_figure(*response(*SIZES["prompts"]))
    texts = legend_texts(figure)
    assert texts[:2] == ["positive sign", "negative sign"]
    assert texts[-4:] == ["simple", "simple, negative", "engineered", "engineered, negative"]
    for axes in figure.axes:
        flat = [line.get_ydata()[0] for line in axes.lines if line.get_linewidth() == 1.1]
        assert flat == pytest.approx([0.25, 5 / 12] * 2)


def test_every_cell_has_its_own_panel():
    other = cohort([0, 0, 6, 12, 12]).with_columns(model=pl.lit("other"))
    assert len(dose_response_figure(*response(cohort([0, 0, 3, 9, 12]), other)).axes) == 2


def test_a_sign_that_did_not_converge_is_crossed_in_its_panel():
    shares, table = response(*(cohort([3, 3, 9, 9], alphas=(-2.0, -1.0, 1.0, 2.0), method=m) for m in ("lora", "mean")))
    missed = (pl.col("method") == "mean") & (pl.col("sign") == "negative") & (pl.col("split") != "audit")
    searched = calibration(["lora", "mean"]).with_columns(p95=pl.when(missed).then(0.0).otherwise("p95"))
    settings = PlotCalibration(members={}, most=12, tolerance=0.05, statistic="p95")
    marked = with_missed(table, searched, settings)
    assert marked.filter("missed").select("method", "sign").rows() == [("mean", "negative")]
    assert marked.drop("missed").equals(table)
    figure = dose_response_figure(shares, marked)
    crosses = [[line.get_marker() for line in panel(figure, name).lines].count("X") for name in ("lora", "mean")]
    assert crosses == [0, 1]
    assert NOT_CONVERGED in legend_texts(figure)
    assert NOT_CONVERGED not in legend_texts(dose_response_figure(shares, table))


def test_of_many_members_those_that_bear_most_and_least_have_panels():
    figure = dose_response_figure(*many(), MANY_PANELS)
    assert_legible(figure)
    assert len(figure.axes) == 12
