"""A method's survival by every endpoint."""

import polars as pl
import pytest
from cohort_examples import key
from steerdose.columns import SIGNS
from steerdose.study.endpoints import FirstDipEndpoint
from steerdose.survival.endpoints import Limits
from steerdose.survival.lifetimes import lifetimes
from steerdose.survival.survive import deciding_first, estimate

GRID = [0, 8, 16]


@pytest.mark.parametrize(("probe", "dies_at"), [("a", 8), ("z", 16)])
def test_the_first_dip_is_of_the_probe_that_the_config_names_first(probe, dies_at):
    dips = {"a": (0.9, 0.1, 0.1), "z": (0.9, 0.9, 0.1)}
    forks = pl.DataFrame(
        [
            key(0) | {"probe": name, "reading": "steered", "t": t, "pmass": pmass, "is_answer": True}
            for name, values in dips.items()
            for t, pmass in zip(GRID, values, strict=True)
        ]
    )
    written = pl.DataFrame([key(0) | {"n_tokens": 16, "ended": False}])
    limits = {("first_dip", sign): Limits({}, {"a": 0.5, "z": 0.5}, "p95", None) for sign in SIGNS}
    endpoints = {"first_dip": FirstDipEndpoint(kind="first_dip")}
    lives, prevalence = lifetimes(written, None, deciding_first(forks, probe), endpoints, limits, GRID)
    assert lives["duration"].to_list() == [dies_at]
    assert prevalence["broken"].to_list() == [int(t >= dies_at) for t in GRID]


def test_every_endpoint_has_its_curve_and_counts_in_the_order_of_the_study():
    rows = [
        key(i) | {"endpoint": name, "duration": duration, "died": died, "ended": ended, "recovered": recovered}
        for name in ("z", "a")
        for i, (duration, died, ended, recovered) in enumerate(
            [(5, True, False, True), (9, False, True, False), (16, False, False, False)]
        )
    ]
    curve, summary = estimate(pl.DataFrame(rows), GRID, 0.95)
    assert summary["endpoint"].to_list() == ["z", "a"]
    assert summary.select("n", "died", "ended", "censored", "recovered").row(0) == (3, 1, 1, 1, 1)
    assert summary["incidence"].to_list() == pytest.approx([1 / 3] * 2)
    assert curve.filter(endpoint="z")["t"].to_list() == [0, 5, 8, 16]
    assert curve.filter(endpoint="z")["ended"].to_list() == pytest.approx([0, 0, 0, 1 / 3])
