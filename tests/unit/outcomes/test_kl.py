"""The KL of a trajectory against its own beginning, as a curve and at forks."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.kl_history import normalised, ratios
from steerdose.dose.kl_statistics import kl_statistics
from steerdose.errors import SteerdoseError
from steerdose.outcomes.kl import kl_measures, normalised_kl


def key(prompt, alpha=1.0, coefficient=3.0):
    cell = {"model": "m", "behavior": "b", "seed": 0, "method": "lora", "alpha": alpha, "coefficient": coefficient}
    return cell | {"prompt_id": f"p{prompt}", "sample": 0, "line": prompt}


def rows(kl, prompt=0, **changes):
    return [key(prompt, **changes) | {"t": t, "token_id": 7, "kl": value} for t, value in enumerate(kl, start=1)]


def frame(*trajectories):
    return pl.DataFrame([row for trajectory in trajectories for row in trajectory])


def test_the_scale_is_the_p95_of_the_first_n_tokens():
    head = [1.0, 2.0, 3.0, 4.0, 5.0]  # p95 by linear interpolation: 4 + 0.8
    found = normalised_kl(frame(rows([*head, 48.0])), 5)
    assert found["normalised"].to_list() == pytest.approx([1 / 4.8, 2 / 4.8, 3 / 4.8, 4 / 4.8, 5 / 4.8, 10.0])


def test_twenty_tokens_are_the_default():
    found = normalised_kl(frame(rows([2.0] * 20 + [8.0] * 5)), 20)
    assert found["normalised"].to_list() == [1.0] * 20 + [4.0] * 5


@pytest.mark.parametrize("kl", [[1.0, 2.0], [0.0] * 9, [0.0, 0.0, 0.0, 5.0]], ids=["short", "alpha_0", "p95_0"])
def test_without_a_scale_it_is_null(kl):
    found = normalised_kl(frame(rows(kl), rows([1.0] * 5, prompt=1)), 3)
    assert found.filter(prompt_id="p0")["normalised"].to_list() == [None] * len(kl)
    assert found.filter(prompt_id="p1")["normalised"].to_list() == [1.0] * 5


def test_a_spike_keeps_its_height_whatever_its_neighbours_are():
    kl = np.full(60, 0.5)
    kl[20] = 50.0  # right behind the head
    assert normalised_kl(frame(rows(kl.tolist())), 20)["normalised"][20] == pytest.approx(100.0)


def test_a_head_without_tokens_is_refused():
    with pytest.raises(SteerdoseError, match="at least 1 token to take the p95 of, found 0"):
        normalised_kl(frame(rows([1.0])), 0)


nats = st.one_of(st.just(0.0), st.floats(1e-6, 50.0))
studies = st.lists(st.lists(nats, min_size=1, max_size=12), min_size=1, max_size=4)


@given(studies, st.integers(1, 8), st.randoms(use_true_random=False))
def test_it_equals_the_slow_twin_for_any_order_and_company(study, n, random):
    parts = [rows(kl, prompt=i) for i, kl in enumerate(study)]
    shuffled = [row for part in parts for row in part]
    random.shuffle(shuffled)
    found = normalised_kl(pl.DataFrame(shuffled), n)
    assert found.drop("normalised").rows(named=True) == shuffled
    for i, kl in enumerate(study):
        mine = found.filter(prompt_id=f"p{i}").sort("t")["normalised"].to_list()
        alone = normalised_kl(frame(parts[i]), n)["normalised"].to_list()
        for expected in (normalised(kl, n), alone):
            assert mine == [value if value is None else pytest.approx(value) for value in expected]


@given(st.lists(st.floats(1e-3, 50.0), min_size=3, max_size=12))
def test_it_has_no_unit(kl):
    nats, bits = (normalised_kl(frame(rows([unit * value for value in kl])), 3)["normalised"] for unit in (1, 1.4427))
    assert nats.to_list() == pytest.approx(bits.to_list())


def test_peak_and_level_of_a_gap_are_over_the_head_before_it():
    kl = np.array([1.0, 2.0, 1.0, 8.0, 3.0, 100.0])
    found = kl_measures([kl], [np.array([0, 2, 5, 6])], "max", n=2)
    scale = 1.95  # p95 of 1 and 2
    assert np.isnan(found["peak"][:2]).all() and np.isnan(found["level"][:2]).all()  # no tokens, and none before them
    assert found["peak"][2:] == pytest.approx([8 / scale, 100 / scale])
    assert found["level"][2:] == pytest.approx([3 / scale, 100 / scale])
    assert found["kl"].tolist()[1:] == [2.0, 8.0, 100.0]


def test_a_head_without_kl_and_no_tokens_at_all_give_no_ratio():
    found = kl_measures([np.zeros(4), np.empty(0)], [np.array([0, 2, 4]), np.array([0])], "p95", 20)
    assert np.isnan(found["peak"]).all()
    assert found["kl"].tolist()[1:3] == [0.0, 0.0]


grids = st.lists(st.integers(0, 12), min_size=1, unique=True).map(sorted)


@given(st.lists(st.lists(nats, max_size=12), min_size=1, max_size=3), grids, st.integers(1, 8))
def test_measures_at_forks_equal_the_slow_twin_in_any_company(study, grid, n):
    prefixes = [np.array([t for t in grid if t <= len(kl)], dtype=int) for kl in study]
    found = kl_measures([np.array(kl) for kl in study], prefixes, "p95", n)
    expected = [row for kl, forks in zip(study, prefixes, strict=True) for row in ratios(kl, forks.tolist(), n)]
    for name, column in zip(("peak", "level"), (0, 1), strict=True):
        plain = [None if np.isnan(value) else value for value in found[name]]
        assert plain == [None if row[column] is None else pytest.approx(row[column]) for row in expected]
    whole = [kl_statistics(kl[:t])["p95"] for kl, forks in zip(study, prefixes, strict=True) for t in forks if t]
    assert found["kl"][~np.isnan(found["kl"])].tolist() == pytest.approx(whole)
