"""The KL of a trajectory against its own beginning."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.kl_history import normalised
from steerdose.errors import SteerdoseError
from steerdose.kl_history import normalised_kl


def key(prompt, alpha=1.0, coefficient=3.0):
    cell = {"model": "m", "behavior": "b", "seed": 0, "method": "lora", "alpha": alpha, "coefficient": coefficient}
    return cell | {"prompt_id": f"p{prompt}"}


def rows(kl, prompt=0, **changes):
    return [key(prompt, **changes) | {"t": t, "token_id": 7, "kl": value} for t, value in enumerate(kl, start=1)]


def frame(*trajectories):
    return pl.DataFrame([row for trajectory in trajectories for row in trajectory])


def test_the_scale_is_the_p95_of_the_first_n_tokens():
    head = [1.0, 2.0, 3.0, 4.0, 5.0]  # p95 by linear interpolation: 4 + 0.8
    found = normalised_kl(frame(rows([*head, 48.0])), 5)
    assert found["normalised"].to_list() == pytest.approx([1 / 4.8, 2 / 4.8, 3 / 4.8, 4 / 4.8, 5 / 4.8, 10.0])


def test_twenty_tokens_are_the_default():
    found = normalised_kl(frame(rows([2.0] * 20 + [8.0] * 5)))
    assert found["normalised"].to_list() == [1.0] * 20 + [4.0] * 5


@pytest.mark.parametrize("kl", [[1.0, 2.0], [0.0] * 9, [0.0, 0.0, 0.0, 5.0]], ids=["short", "alpha_0", "p95_0"])
def test_without_a_scale_it_is_null(kl):
    found = normalised_kl(frame(rows(kl), rows([1.0] * 5, prompt=1)), 3)
    assert found.filter(prompt_id="p0")["normalised"].to_list() == [None] * len(kl)
    assert found.filter(prompt_id="p1")["normalised"].to_list() == [1.0] * 5


def test_null_coefficients_are_matched():
    found = normalised_kl(frame(rows([2.0, 4.0], coefficient=None)), 1)
    assert found["normalised"].to_list() == [1.0, 2.0]


def test_a_spike_keeps_its_height_whatever_its_neighbours_are():
    kl = np.full(60, 0.5)
    kl[20] = 50.0  # right behind the head
    assert normalised_kl(frame(rows(kl.tolist())))["normalised"][20] == pytest.approx(100.0)


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
