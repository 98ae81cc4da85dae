"""KL of every trajectory over its own beginning."""

import numpy as np
import pytest
from figure_examples import STUDIES, assert_legible, drawn_lines, lived, normalised, tokens

pytestmark = pytest.mark.filterwarnings("error")  # constrained layout warns when it gives up


@pytest.mark.parametrize("name", STUDIES)
def test_nothing_overlaps(name):
    study = STUDIES[name]
    assert_legible(normalised(study.steps, study.lives, panels=study.panels))


def test_normalised_lines_start_at_their_own_level_and_leave_alpha_0_out():
    steps = tokens(["lora"], [0.0, 2.0], length=24)
    figure = normalised(steps, lived(["lora"], [0.0, 2.0]))
    (axes,) = figure.axes
    (level,) = {line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == ":"}
    assert level == 1
    scale = np.quantile(0.4 * np.arange(1, 21), 0.95)
    dead = drawn_lines(figure, axes)[0].get_segments()[1]  # the first prompt died before its first token
    assert dead[:, 1] == pytest.approx(0.4 * np.arange(1, 25) / scale)


def test_a_study_of_short_answers_has_nothing_to_normalise():
    figure = normalised(tokens(["lora"], [1.0], length=19), lived(["lora"], [1.0]))
    assert not figure.axes
    assert figure.texts[0].get_text().startswith("No trajectory has 20 tokens")
