"""The table of knowledge: hand-computed means, paired changes and their intervals."""

import polars as pl
import pytest
from scipy.stats import ttest_1samp
from steerdose.tables.knowledge import knowledge_table

KEY = {"model": "m", "behavior": "b", "seed": 0, "method": "lora"}


def scores(values, **changes):
    """Rows of scores from {alpha: [(discrimination, yes_bias, correct, pmass) of each claim]}."""
    names = ("discrimination", "yes_bias", "correct", "pmass")
    return pl.DataFrame(
        [
            {**KEY, "alpha": alpha, "coefficient": alpha, "item": f"q-{i}", "metric": name, "value": value} | changes
            for alpha, claims in values.items()
            for i, claim in enumerate(claims)
            for name, value in zip(names, claim, strict=True)
        ],
        infer_schema_length=None,
    )


BASE = [(1.0, 0.1, 1.0, 0.9), (-1.0, 0.3, 0.0, 0.8), (2.0, -0.1, 1.0, 0.7)]


def test_changes_are_paired_by_claim_with_the_t_interval():
    steered = [(0.5, 1.1, 1.0, 0.5), (-2.0, 1.6, 0.0, 0.6), (0.0, 0.9, 0.5, 0.4)]
    table = knowledge_table(scores({0.0: BASE, 1.5: steered}), 0.9)
    assert table["alpha"].to_list() == [0.0, 1.5]
    row = table.row(1, named=True)
    assert (row["n"], row["accuracy"], row["pmass"]) == (3, pytest.approx(0.5), pytest.approx(0.5))
    interval = ttest_1samp([-0.5, -1.0, -2.0], 0).confidence_interval(0.9)
    assert row["discrimination_change"] == pytest.approx(-3.5 / 3)
    assert (row["discrimination_change_low"], row["discrimination_change_high"]) == pytest.approx(interval)
    assert row["yes_bias_change"] == pytest.approx((1.0 + 1.3 + 1.0) / 3)
    assert table.row(0, named=True)["discrimination_change"] == 0


def test_claims_whose_logits_overflowed_are_left_out_and_counted():
    table = knowledge_table(scores({0.0: BASE, 3.0: [(None,) * 4, *BASE[1:]]}), 0.95)
    assert table["n"].to_list() == [3, 2]
    assert table["discrimination_change"].to_list() == [0, 0]


def test_methods_and_seeds_are_compared_with_their_own_alpha_0():
    other = scores({0.0: [(5.0, 0.0, 1.0, 1.0)] * 2, 1.0: [(4.0, 0.0, 1.0, 1.0)] * 2}, method="other")
    table = knowledge_table(pl.concat([scores({0.0: BASE, 1.0: BASE}), other]), 0.95)
    assert table.filter(alpha=1.0)["discrimination_change"].to_list() == [0, -1]
