"""Training losses."""

import pytest
from figure_examples import METHODS, STUDIES, assert_legend_is_beside, assert_legible, panel, render, training
from steerdose.figures.training import training_figure

pytestmark = pytest.mark.filterwarnings("error")  # constrained layout warns when it gives up


@pytest.mark.parametrize("name", [name for name, study in STUDIES.items() if not study.panels.members])
def test_nothing_overlaps(name):
    assert_legible(training_figure(STUDIES[name].training))


@pytest.mark.parametrize("methods", [["lora"], METHODS])
def test_training_figure_draws_both_splits_and_signs(methods):
    figure = training_figure(training(methods))
    assert_legend_is_beside(figure, render(figure))
    assert len(figure.axes) == len(methods)
    lines = panel(figure, methods[-1]).lines
    assert sorted(line.get_ydata()[0] for line in lines) == [3, 3, 4, 4]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 4
