"""From forks to lifetimes: who died, when, and what broke; thresholds of death."""

import polars as pl
import pytest
from cohort_examples import key
from steerdose.errors import SteerdoseError
from steerdose.survival.lifetimes import dips, with_damage


def rollout(pmass, n_tokens=128, ended=False, prompt=0, **changes):
    """One trajectory: its forks, from pmass by t, and its row."""
    read = {"probe": "p", "reading": "steered", "is_answer": True}
    forks = [key(prompt, **changes) | read | {"t": t, "pmass": value} for t, value in pmass.items()]
    return forks, key(prompt, **changes) | {"n_tokens": n_tokens, "ended": ended}


def lifetime(*rollouts, threshold=0.7, window=128, splits=True):
    forks, rows = pl.DataFrame([fork for forks, _ in rollouts for fork in forks]), [row for _, row in rollouts]
    lives = dips(pl.DataFrame(rows), forks, threshold, sorted({*forks["t"], window}))
    return with_damage(lives, forks, ["first_dip"], threshold, splits)


@pytest.mark.parametrize(
    ("pmass", "n_tokens", "ended", "expected"),
    [
        ({0: 0.9, 8: 0.6, 64: 0.1}, 128, False, (8, True)),
        ({0: 0.9, 8: 0.6, 64: 0.99}, 128, False, (8, True)),
        ({64: 0.1, 8: 0.6, 0: 0.9}, 128, False, (8, True)),
        ({0: 0.1}, 0, True, (0, True)),
        ({0: 0.9, 8: 0.7}, 128, False, (128, False)),
        ({0: 0.9, 8: 0.9}, 11, True, (11, False)),
        ({0: 0.9, 8: 0.6}, 11, True, (8, True)),
    ],
    ids=["dies", "stays_dead", "any_order", "at_once", "at_threshold", "ends", "dies_then_ends"],
)
def test_lifetime_of_one_trajectory(pmass, n_tokens, ended, expected):
    row = lifetime(rollout(pmass, n_tokens, ended)).row(0, named=True)
    assert (row["duration"], row["died"]) == expected
    assert row["ended"] == (ended and not row["died"]), "of two events the first one counts"


def with_unsteered(trajectory, pmass):
    """Add what the unsteered model reads behind the same tokens."""
    forks, row = trajectory
    return forks + [
        fork | {"reading": "unsteered", "pmass": pmass[fork["t"]]} for fork in forks if fork["t"] in pmass
    ], row


@pytest.mark.parametrize(
    ("unsteered", "damage"),
    [
        ({0: 0.9, 8: 0.7, 64: 0.1}, "readout"),
        ({0: 0.9, 8: 0.69, 64: 0.9}, "text"),
        ({0: 0.1, 8: 0.9, 64: 0.1}, "readout"),
        ({0: 0.9}, None),
        ({}, None),
    ],
    ids=["at_threshold", "below", "that_fork_counts", "not_read_there", "not_read"],
)
def test_damage_is_told_by_the_unsteered_reading_of_the_fork_of_death(unsteered, damage):
    for coefficient in (2.4, None):
        dead = with_unsteered(rollout({0: 0.9, 8: 0.6, 64: 0.1}, coefficient=coefficient), unsteered)
        alive = with_unsteered(rollout({0: 0.9, 8: 0.8}, prompt=1, coefficient=coefficient), {0: 0.1, 8: 0.1})
        found = lifetime(dead, alive)
        assert found["damage"].to_list() == [damage, None]
        assert found["duration"].to_list() == [8, 128]
        assert lifetime(dead, alive, splits=False)["damage"].to_list() == [None, None], "garbage does not move it"
        assert found.schema["damage"] == pl.String


@pytest.mark.parametrize(("alpha", "coefficient"), [(2.0, 2.4), (-1.0, -1.2), (1.0, None)])
@pytest.mark.parametrize("pmass", [0.9, 0.1])
def test_an_empty_answer_is_a_death_at_fork_0(pmass, alpha, coefficient):
    """Whatever the probe reads."""
    empty = rollout({0: pmass}, 0, True, alpha=alpha, coefficient=coefficient)
    found = lifetime(
        empty,
        with_unsteered(rollout({0: pmass}, 0, True, 1, alpha=alpha, coefficient=coefficient), {0: 0.9}),
        rollout({0: 0.9, 1: 0.9}, 1, True, 2, alpha=alpha, coefficient=coefficient),
    )
    assert found["duration"].to_list() == [0, 0, 1]
    assert found["died"].to_list() == [True, True, False]
    assert found["damage"].to_list() == [None, "readout", None]


def test_an_unsteered_model_that_says_nothing_ended_at_0():
    found = lifetime(rollout({0: 0.9}, 0, True, alpha=0.0, coefficient=0.0)).row(0, named=True)
    assert (found["duration"], found["died"], found["ended"], found["damage"]) == (0, False, True, None)


def test_an_unsteered_reading_kills_nobody_and_is_no_fork_of_its_own():
    assert lifetime(with_unsteered(rollout({0: 0.9, 8: 0.9}), {0: 0.1, 8: 0.1}))["died"].to_list() == [False]
    forks, row = with_unsteered(rollout({0: 0.9}, prompt=3), {0: 0.9})
    with pytest.raises(SteerdoseError, match="none for 1 of 1"):
        dips(pl.DataFrame([row]), pl.DataFrame(forks[1:]), 0.7, [0, 128])


def test_a_fork_that_is_read_twice_is_refused():
    forks, row = rollout({0: 0.9, 8: 0.6})
    with pytest.raises(SteerdoseError, match="expected one reading of a probe at a fork"):
        dips(pl.DataFrame([row]), pl.DataFrame(forks + forks), 0.7, [0, 8, 128])


def test_lifetimes_keep_order_and_match_null_coefficients():
    found = lifetime(
        rollout({0: 0.1}, prompt=1, coefficient=None, alpha=1.0),
        rollout({0: 0.9}, prompt=0, coefficient=None, alpha=1.0),
    )
    assert found["prompt_id"].to_list() == ["p1", "p0"]
    assert found["duration"].to_list() == [0, 128]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_pmass_that_is_not_finite_is_located(value):
    with pytest.raises(SteerdoseError, match=r"prompt p7, alpha 2\.0, t 13"):
        lifetime(rollout({0: 0.9}), rollout({0: 0.9, 13: value}, prompt=7))


def test_trajectory_without_fork_is_named():
    with pytest.raises(SteerdoseError, match=r"none for 1 of 2, the first at method lora, prompt p3, alpha 2\.0"):
        lifetime(rollout({0: 0.9}), rollout({}, prompt=3))
