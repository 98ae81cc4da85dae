"""Resampled prompts, and how many are enough."""

import numpy as np
import pytest
from scipy.stats import binomtest
from steerdose.survival.lethal_dose import enough_prompts, resampled_prompts


def test_enough_prompts_are_those_that_an_exact_interval_tells_from_half():
    for confidence in (0.8, 0.95, 0.99):
        n = enough_prompts(confidence)
        assert binomtest(0, n).proportion_ci(confidence).high < 0.5
        assert binomtest(0, n - 1).proportion_ci(confidence).high >= 0.5


def test_every_resample_draws_as_many_prompts_as_there_are():
    weights = resampled_prompts(7)
    assert set(weights.sum(axis=1)) == {7}
    assert np.array_equal(weights, resampled_prompts(7))
    assert weights.mean(axis=0) == pytest.approx(np.ones(7), abs=0.15)
