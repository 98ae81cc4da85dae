"""Figures over doses: what they show, from one method and dose to twelve, without overlaps."""

import numpy as np
import polars as pl
import pytest
from dose_examples import GRID, cohort
from figure_examples import assert_legend_is_beside, legend_texts, overlaps, panel, render
from matplotlib.colors import to_hex
from steerdose.figures.dose_response import dose_response_figure
from steerdose.figures.lethal_dose import lethal_dose_figure
from steerdose.figures.style import SIGNS
from steerdose.survival.dose_response import dose_response
from steerdose.survival.kaplan_meier import estimate_survival

pytestmark = pytest.mark.filterwarnings("error")  # constrained layout warns when it gives up
ALPHAS = (-4.0, -2.0, -1.0, -0.5, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
PROMPTS = [cohort([3, 5], alphas=(-1.0, 1.0), method=name, c_star=None) for name in ("simple", "engineered")]


def response(*lives):
    """`dose_response` of cohorts in the order given."""
    curve = pl.concat([estimate_survival(each, GRID)[0] for each in lives])
    return dose_response(curve, pl.concat(lives), confidence=0.95, safe_level=0.5)


def methods(count, alphas):
    """Cohorts that die at rising doses, the last methods never."""
    magnitudes = np.abs(alphas)
    return [
        cohort(np.clip(12 * (magnitudes - 0.4 * i), 0, 12).astype(int).tolist(), alphas=alphas, method=f"method_{i}")
        for i in range(count)
    ]


SIZES = {
    "one": methods(1, (1.0,)),
    "prompts": [*methods(3, (-1.0, 0.5, 1.0, 2.0)), *PROMPTS],
    "twelve": methods(12, ALPHAS),
    "nobody_dies": [cohort([0, 0, 0], alphas=(-1.0, 1.0, 2.0)), *PROMPTS],
    "no_dose": [cohort([], alphas=())],
}


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


@pytest.mark.parametrize("lives", SIZES.values(), ids=SIZES)
def test_rows_of_lethal_doses_do_not_overlap(lives):
    figure = lethal_dose_figure(*response(*lives))
    renderer = render(figure)
    assert_legend_is_beside(figure, renderer)
    (axes,) = figure.axes
    words = [text.get_window_extent(renderer) for text in axes.texts]
    labels = [label.get_window_extent(renderer) for label in axes.get_yticklabels()]
    assert not overlaps(words + labels + [axes.get_window_extent(renderer)])
    assert all(box.x1 <= figure.bbox.x1 for box in words)
    if not words:
        assert axes.get_title(loc="left") == "no dose was rolled out"


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


def test_the_toughest_method_is_at_the_top():
    weak, tough, middle = (cohort(dead, method=name) for name, dead in (
        ("weak", [12] * 5), ("tough", [0] * 5), ("middle", [0, 0, 6, 12, 12]),
    ))  # fmt: skip
    (axes,) = lethal_dose_figure(*response(weak, tough, middle)).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["tough", "middle", "weak"]
    words = {text.get_position()[1]: text.get_text().split()[0] for text in axes.texts}
    assert [words[y] for y in (0, 1, 2)] == [">", "1", "<"]
    safe = {round(bar.get_y() + bar.get_height() / 2): bar.get_x() + bar.get_width() for bar in axes.patches}
    assert safe == {0: pytest.approx(4), 1: pytest.approx(0.5)}
    assert {to_hex(line.get_color()).upper() for line in axes.lines if line.get_marker() == "o"} == {
        SIGNS["positive"][0]
    }


def test_every_cell_has_its_own_panel():
    other = cohort([0, 0, 6, 12, 12]).with_columns(model=pl.lit("other"))
    shares, table = response(cohort([0, 0, 3, 9, 12]), other)
    titles = [axes.get_title(loc="left") for axes in lethal_dose_figure(shares, table).axes]
    assert titles == ["m, b, seed 0", "other, b, seed 0"]
    assert len(dose_response_figure(shares, table).axes) == 2
