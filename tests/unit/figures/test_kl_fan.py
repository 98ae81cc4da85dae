"""Quantiles of KL along the rollout."""

import polars as pl
import pytest
from figure_examples import STUDIES, assert_legible, lived, tokens
from steerdose.figures.kl_fan import FEW_LEFT, kl_fan_figure
from steerdose.figures.kl_quantiles import even_edges, kl_quantiles, numbered

pytestmark = pytest.mark.filterwarnings("error")  # constrained layout warns when it gives up


@pytest.mark.parametrize("name", STUDIES)
def test_nothing_overlaps(name):
    study = STUDIES[name]
    quantiles = kl_quantiles(numbered(study.steps, study.lives), study.lives, even_edges(24, 8))
    assert_legible(kl_fan_figure(quantiles, 2, study.panels))


def test_the_fan_stops_where_few_are_left():
    steps = tokens(["lora"], [1.0], length=8).filter((pl.col("t") <= 4) | (pl.col("prompt_id") == "p1"))
    lives = lived(["lora"], [1.0])
    quantiles = kl_quantiles(numbered(steps, lives), lives, even_edges(8, 4))
    upper, lower = kl_fan_figure(quantiles, 2).axes
    (median,) = upper.lines
    assert median.get_xdata().tolist() == [0, 2, 4]
    assert median.get_ydata() == pytest.approx([0.25, 0.45, 0.45])
    outer = upper.collections[0].get_datalim(upper.transData)
    assert (outer.x0, outer.x1) == (0, 4)
    (few,) = lower.patches
    assert (few.get_x(), few.get_width(), few.get_hatch()) == (4, 4, FEW_LEFT["hatch"])
    (ended,) = lower.lines
    assert ended.get_xdata().tolist() == [6]
    assert lower.get_yticks().tolist() == [0, 3]


def test_a_study_without_enough_trajectories_has_a_fan_without_bands():
    lives = lived(["lora"], [1.0])
    quantiles = kl_quantiles(numbered(tokens(["lora"], [1.0]), lives), lives, even_edges(6, 4))
    upper, _ = kl_fan_figure(quantiles, 4).axes
    assert not upper.lines and not upper.collections
