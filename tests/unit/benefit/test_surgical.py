"""Surgical informedness as published, and the two ways in which it misleads."""

import numpy as np
import polars as pl
import pytest
from benefit_examples import CHOICE, choice_scores
from steerdose.benefit.effects import effects
from steerdose.benefit.surgical import one_way, surgical_informedness


def rows(before, after, alpha=1.0, label=1):
    same = {"item": [f"i{i}" for i in range(len(before))], "form": "a", "label": label, "alpha": alpha}
    return pl.DataFrame({**same, "y": np.asarray(after, float), "y_0": np.asarray(before, float)})


def test_the_published_forward_arithmetic():
    """20 of 94 wrong rows mended, 141 of 344 right ones broken: .213 - 2 x .410 = -.607."""
    before = np.r_[np.full(94, -1), np.full(344, 1)]
    after = np.r_[np.full(20, 1), np.full(74, -1), np.full(141, -1), np.full(203, 1)]
    assert one_way(before, after) == pytest.approx(-0.607, abs=5e-4)


def test_both_directions_by_hand():
    up = rows([-1, -1, 1, 1], [1, -1, 1, 1])  # fix 1/2, broke 0
    down = rows([-1, -1, 1, 1], [-1, 1, -1, 1], alpha=-1.0)  # flip 1/2, counter 1/2: -1/2
    assert surgical_informedness(up, 1.0, {1.0: 0.5}) == pytest.approx(0.5 * 0.25 * 100)
    both = surgical_informedness(pl.concat([up, down]), 1.0, {1.0: 1.0, -1.0: 0.5})
    assert both == pytest.approx((0.5 - 0.5) / 2)
    assert surgical_informedness(rows([1, 1], [1, 1]), 1.0, {1.0: 1.0}) is None


def test_a_broken_model_scores_better_than_the_same_model_repaired():
    """The published squeeze: a mean of -.075 at mass .17 is -.217; with its mass restored it is -7.5."""
    before, after = np.r_[np.full(40, -1), np.full(400, 1)], np.r_[np.full(40, -1), np.full(15, -1), np.full(385, 1)]
    broken, sound = (surgical_informedness(rows(before, after), 1.0, {1.0: mass}) for mass in (0.17, 1.0))
    assert sound == pytest.approx(-7.5)
    assert broken == pytest.approx(-0.217, abs=1e-3)
    assert broken > sound


def test_a_yes_bias_scores_as_the_behavior_where_labels_are_not_balanced_and_is_no_effect():
    """Every item's first answer is the honest one: leaning to it mends all that is wrong."""
    leaning = choice_scores(lambda *_: 6.0, alphas=(0.0, 1.0))
    one_sided = leaning.filter(pl.col("form") == "plain")
    row = effects({"t": one_sided}, {"t": CHOICE}, 0.95).filter(alpha=1.0).row(0, named=True)
    assert row["si"] == pytest.approx(0.8**2 * 100)
    assert row["effect"] is None, "with one label alone a lean cannot be told from the behavior"
    balanced = effects({"t": leaning}, {"t": CHOICE}, 0.95).filter(alpha=1.0).row(0, named=True)
    assert balanced["effect"] == pytest.approx(0)
    assert balanced["yes_shift"] == pytest.approx(6)
