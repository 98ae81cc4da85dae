"""Endpoints on planted trajectories: what is broken dies where it breaks, and what is sound lives."""

import numpy as np
import pytest
from steerdose.study.endpoints import AnswerEndpoint, FirstDipEndpoint, KlEndpoint, TextEndpoint
from steerdose.survival.endpoints import KINDS, Course, Life, Limits, Readings, is_broken, life

WINDOW = 128
LIMITS = Limits({"repetition": 0.6, "nll": 3.5, "joint": 0.8}, {"a": 0.5, "b": 0.5, "c": 0.5}, "p95", 1.0)
TEXT = TextEndpoint(kind="text")
GENERATOR = np.random.default_rng(5)


def prose(n):
    """Tokens without repeats, as probable as the model's own: nats of a sample at temperature 1."""
    return np.arange(1000, 1000 + n), GENERATOR.exponential(1.2, n)


def salad(n):
    return GENERATOR.integers(0, 40000, n), GENERATOR.exponential(9.0, n)


def loop(n, period):
    """A phrase again and again, which the model finds ever more likely."""
    return np.resize(np.arange(7, 7 + period), n), np.full(n, 0.05)


def course(*parts):
    ids, nll = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Course(ids, nll, np.zeros(len(ids)), {})


def judged(*parts, ended=False):
    trajectory = course(*parts)
    found = KINDS["text"](trajectory, TEXT, LIMITS)
    return life(found, len(trajectory.text), ended, True, WINDOW)


def test_prose_lives_to_the_window():
    assert judged(prose(WINDOW)) == Life(WINDOW, died=False, ended=False, recovered=False)


@pytest.mark.parametrize("period", [1, 5, 12, 30])
def test_a_loop_that_starts_at_token_40_dies_there_within_a_round(period):
    found = judged(prose(40), loop(WINDOW - 40, period))
    assert found.died
    assert 40 <= found.duration <= 40 + period + 4, "the first round is new text"
    assert not found.recovered


@pytest.mark.parametrize("start", [0, 40, 90])
def test_word_salad_dies_where_it_starts(start):
    found = judged(prose(start), salad(WINDOW - start))
    assert found.died
    assert abs(found.duration - start) <= 4


def test_a_text_that_breaks_and_recovers_is_counted_as_both():
    found = judged(prose(30), salad(40), prose(58))
    assert (found.died, found.recovered) == (True, True)
    assert abs(found.duration - 30) <= 4
    assert not judged(prose(30), salad(98)).recovered


def test_a_text_that_does_some_of_both_dies_though_neither_band_is_left():
    """Half of its 4-grams come back, and it surprises the model by 3 nats a token."""
    ids = np.concatenate([np.r_[np.arange(50, 58), GENERATOR.integers(0, 40000, 6)] for _ in range(7)])
    found = judged(prose(30), (ids, np.full(98, 3.0)))
    assert found.died
    assert 30 <= found.duration <= 30 + 24
    assert not judged(prose(30), (ids, np.full(98, 1.0))).died, "the model repeats itself so, and is not surprised"


def test_a_short_excursion_is_no_death():
    assert not judged(prose(50), salad(6), prose(72)).died


@pytest.mark.parametrize("length", [1, 8, 23, 40])
def test_a_short_good_answer_ends_and_is_never_dead(length):
    assert judged(prose(length), ended=True) == Life(length, died=False, ended=True, recovered=False)


def test_a_steered_answer_of_no_token_is_a_death_and_an_unsteered_one_ended():
    assert life([], 0, True, True, WINDOW) == Life(0, died=True, ended=False, recovered=False)
    assert life([], 0, True, False, WINDOW) == Life(0, died=False, ended=True, recovered=False)


def test_a_death_at_the_end_of_a_text_counts_as_one_and_not_as_ended():
    assert judged(prose(30), salad(40), ended=True).died
    assert not judged(prose(30), salad(40), ended=True).ended


def probes(**pmass):
    """Readings at forks 0, 10, 20, ...; whoever has pmass of 0.2 or more answers."""
    return {
        name: Readings(np.arange(len(values)) * 10, np.array(values), np.array(values) >= 0.2)
        for name, values in pmass.items()
    }


def test_an_answer_is_lost_where_most_probes_fail_twice_in_a_row():
    options = AnswerEndpoint(kind="answer")
    nothing = np.zeros(0)

    def found(**pmass):
        return KINDS["answer"](Course(nothing, nothing, nothing, probes(**pmass)), options, LIMITS)

    assert found(a=[0.9, 0.1, 0.9, 0.1, 0.1, 0.9]) == [(30, 50.0)], "one failure is none"
    assert found(a=[0.9, 0.9, 0.3, 0.3]) == [(20, np.inf)], "it answers, but hardly"
    assert found(a=[0.1] * 4, b=[0.9] * 4, c=[0.9] * 4) == []
    assert found(a=[0.1] * 4, b=[0.9, 0.1, 0.1, 0.9], c=[0.9] * 4) == [(10, 30.0)]
    assert found(a=[0.1] * 4, b=[0.9] * 4) == [], "half is not most"


def test_a_likely_answer_of_too_little_mass_and_mass_without_an_answer_both_fail():
    nothing, options = np.zeros(0), AnswerEndpoint(kind="answer")
    for pmass, is_answer in (([0.9, 0.9], [False, False]), ([0.4, 0.4], [True, True])):
        read = {"a": Readings(np.array([0, 10]), np.array(pmass), np.array(is_answer))}
        assert KINDS["answer"](Course(nothing, nothing, nothing, read), options, LIMITS) == [(0, np.inf)]


def test_the_first_dip_is_final_and_of_the_first_probe():
    nothing, options = np.zeros(0), FirstDipEndpoint(kind="first_dip")
    trajectory = Course(nothing, nothing, nothing, probes(a=[0.9, 0.4, 0.9], b=[0.1, 0.1, 0.1]))
    assert KINDS["first_dip"](trajectory, options, LIMITS) == [(10, np.inf)]


def test_kl_is_judged_over_its_last_tokens_and_not_of_a_prompt():
    kl = np.r_[np.full(60, 1.0), np.full(60, 5.0), np.full(8, 0.0)]
    options = KlEndpoint(kind="kl", tokens=20, multiple=2.0)
    trajectory = Course(np.zeros(128), np.zeros(128), kl, {})
    ((start, stop),) = KINDS["kl"](trajectory, options, LIMITS)
    assert start == 62, "the 95th percentile of 20 values lies between the second largest and the largest"
    assert stop == np.inf
    assert KINDS["kl"](trajectory, options, Limits({}, {}, "p95", None)) is None


def test_a_trajectory_is_broken_from_the_start_of_a_stretch_until_its_end():
    found = is_broken([(10, 20.0), (40, np.inf)], np.array([0, 10, 15, 20, 39, 40, 100]))
    assert found.tolist() == [False, True, True, False, False, True, True]
    assert not is_broken([], np.array([0, 5])).any()
