"""Lethal and safe doses side by side, from one method to entries of many members."""

import polars as pl
import pytest
from dose_examples import cohort
from dose_figure_examples import SIZES, many, response
from figure_examples import (
    MANY_PANELS,
    MEMBERS,
    assert_legend_is_beside,
    assert_legible,
    overlaps,
    render,
)
from matplotlib.colors import to_hex
from steerdose.figures.dose_response import by_robustness
from steerdose.figures.lethal_dose import lethal_dose_figure
from steerdose.figures.style import SIGNS

pytestmark = pytest.mark.filterwarnings("error")  # constrained layout warns when it gives up


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


def test_rows_keep_the_order_of_the_study():
    weak, tough, middle = (cohort(dead, method=name) for name, dead in (
        ("weak", [12] * 5), ("tough", [0] * 5), ("middle", [0, 0, 6, 12, 12]),
    ))  # fmt: skip
    (axes,) = lethal_dose_figure(*response(weak, tough, middle)).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["weak", "tough", "middle"]
    words = {text.get_position()[1]: text.get_text().split()[0] for text in axes.texts}
    assert [words[y] for y in (0, 1, 2)] == ["<", ">", "1"]
    safe = {round(bar.get_y() + bar.get_height() / 2): bar.get_x() + bar.get_width() for bar in axes.patches}
    assert safe == {1: pytest.approx(4), 2: pytest.approx(0.5)}
    assert {to_hex(line.get_color()).upper() for line in axes.lines if line.get_marker() == "o"} == {
        SIGNS["positive"][0]
    }


def test_every_cell_has_its_own_panel():
    other = cohort([0, 0, 6, 12, 12]).with_columns(model=pl.lit("other"))
    figure = lethal_dose_figure(*response(cohort([0, 0, 3, 9, 12]), other))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["m, b, seed 0", "other, b, seed 0"]


def test_a_dose_that_did_not_converge_is_named():
    shares, table = response(cohort([0, 0, 3, 9, 12], method="met"), cohort([0, 0, 3, 9, 12], method="missed"))
    (axes,) = lethal_dose_figure(shares, table.with_columns(missed=pl.col("method") == "missed")).axes
    assert [text.get_text().endswith(", not converged") for text in axes.texts] == [False, True]


def test_of_many_members_the_extremes_have_rows_and_all_are_points():
    shares, table = many()
    figure = lethal_dose_figure(shares, table, MANY_PANELS)
    assert_legible(figure)
    rows, *strips = figure.axes
    shown = [label.get_text() for label in rows.get_yticklabels()]
    order = [name for name in by_robustness(table) if name in MEMBERS["lora_layers"]]
    assert {name for name in shown if name in order} == {*order[:2], *order[-2:]}
    assert len(shown) == 12
    for axes, members in zip(strips, MEMBERS.values(), strict=True):
        points = [line for line in axes.lines if len(line.get_xdata()) == 60]
        assert len(points) == 2
        lethal = table.filter(pl.col("method") == members[7], sign="positive")["ld50"].item()
        drawn = dict(zip(points[0].get_ydata(), points[0].get_xdata(), strict=True))
        ends = {"above": axes.get_xlim()[1], "below": axes.get_xlim()[0]}
        status = table.filter(pl.col("method") == members[7], sign="positive")["status"].item()
        assert drawn[7] == (lethal if lethal is not None else ends[status])
