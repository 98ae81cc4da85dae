"""The KL that doses delivered."""

import numpy as np
import polars as pl
import pytest
from cohort_examples import key
from steerdose.tables.delivered_kl import delivered_kl


def histories(*kl, alpha=1.0):
    return pl.DataFrame([key(i, alpha=alpha) | {"kl": list(map(float, values))} for i, values in enumerate(kl)])


def test_medians_over_trajectories_by_hand():
    found = delivered_kl(histories(range(21), range(0, 42, 2), [7] * 5, []), 0.95).row(0, named=True)
    assert (found["n"], found["mean"], found["p95"]) == (3, 10.0, 19.0)
    assert 7 <= found["p95_low"] <= 19 <= found["p95_high"] <= 38


def test_no_tokens_are_no_kl():
    found = delivered_kl(pl.concat([histories([1.0]), histories([], alpha=2.0)]), 0.95)
    assert found["p95"].to_list() == [1.0, None]


def test_the_interval_covers_the_median_of_the_population_and_knows_copies():
    generator, covered = np.random.default_rng(0), 0
    for _ in range(100):
        found = delivered_kl(histories(*generator.lognormal(0, 0.5, (24, 1))), 0.95).row(0, named=True)
        covered += found["p95_low"] <= 1.0 <= found["p95_high"]
    assert covered >= 88
    once = histories(*generator.lognormal(0, 0.5, (12, 1)))
    twice = pl.concat([once, once.with_columns(sample=pl.lit(1, pl.Int64))])
    bounds = ("p95_low", "p95_high")
    assert delivered_kl(twice, 0.95).select(bounds).row(0) == pytest.approx(
        delivered_kl(once, 0.95).select(bounds).row(0)
    )
