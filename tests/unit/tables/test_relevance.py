"""Which texts count as irrelevant, and how many."""

import numpy as np
import polars as pl
import pytest
from steerdose.errors import SteerdoseError
from steerdose.outcomes.shares import share_interval
from steerdose.study.endpoints import Relevance
from steerdose.tables.relevance import irrelevance, lowest_gain

OPTIONS = Relevance(tokens=32, fewest=8, others=3, size=0.05, batch_size=1)


def reference(gains, n_tokens=32):
    return pl.DataFrame({"gain": gains, "n_tokens": [n_tokens] * len(gains)})


def test_the_limit_is_one_that_at_most_the_size_of_fresh_texts_is_below():
    """Over many cohorts of 160 the share of the next one below the limit is k / (n + 1) = 8 / 161."""
    generator = np.random.default_rng(1)
    below = []
    for _ in range(400):
        drawn = generator.normal(1.0, 0.3, 1160)
        below.append((drawn[160:] < lowest_gain(reference(drawn[:160]), OPTIONS)).mean())
    assert np.mean(below) == pytest.approx(8 / 161, abs=0.003)


def test_short_reference_texts_have_no_part_in_the_limit():
    long, short = reference([float(i) for i in range(19)]), reference([-9.0] * 50, n_tokens=3)
    assert lowest_gain(pl.concat([long, short]), OPTIONS) == 0.0


def test_too_few_reference_texts_are_refused():
    with pytest.raises(SteerdoseError, match="18 texts of the unsteered model with 8 tokens are too few"):
        lowest_gain(reference([1.0] * 18), OPTIONS)


def test_shares_by_dose_against_the_limit_of_the_model():
    key = {"model": "m", "behavior": "b", "seed": 0, "method": "lora"}
    gains = {0.0: [1.0, 1.1, 0.9, 1.2], 2.0: [0.1, 0.1, 0.9, -0.3]}
    rows = [
        {**key, "alpha": alpha, "prompt_id": f"p{i // 2}", "gain": gain}
        for alpha, own in gains.items()
        for i, gain in enumerate(own)
    ]
    found = irrelevance(pl.DataFrame(rows), {"m": 0.5}, 0.95)
    assert found["irrelevant"].to_list() == [0.0, 0.75]
    assert found["gain"].to_list() == pytest.approx([1.05, 0.1])
    low, high = share_interval(np.array([1, 1, 0, 1]) > 0, np.array([0, 0, 1, 1]), 0.95)
    assert found.select("irrelevant_low", "irrelevant_high").row(1) == (low, high)
