"""Resampled prompts, and how many are enough."""

import numpy as np
import pytest
from dose_examples import GRID
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import dose_response as twin
from scipy.stats import binomtest
from steerdose.survival.lethal_dose import enough_prompts, resampled_prompts, resampled_shares


def test_enough_prompts_are_those_that_an_exact_interval_tells_from_half():
    for confidence in (0.8, 0.95, 0.99):
        n = enough_prompts(confidence)
        assert binomtest(0, n).proportion_ci(confidence).high < 0.5
        assert binomtest(0, n - 1).proportion_ci(confidence).high >= 0.5


life = st.tuples(st.sampled_from(GRID), st.booleans())


@settings(max_examples=40)
@given(st.lists(life, min_size=1, max_size=9), st.integers(0, 99))
def test_resampled_shares_are_lifelines_on_the_drawn_rows(lives, seed):
    duration, died = (np.array(each) for each in zip(*lives, strict=True))
    weights = np.random.default_rng(seed).multinomial(len(lives), np.full(len(lives), 1 / len(lives)), size=4)
    expected = [twin.dead_by_window(duration, died, drawn) for drawn in weights]
    assert resampled_shares(duration, died, weights.astype(float)) == pytest.approx(expected, abs=1e-9)


def test_every_resample_draws_as_many_prompts_as_there_are():
    weights = resampled_prompts(7)
    assert set(weights.sum(axis=1)) == {7}
    assert np.array_equal(weights, resampled_prompts(7))
    assert weights.mean(axis=0) == pytest.approx(np.ones(7), abs=0.15)
