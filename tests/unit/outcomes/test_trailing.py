"""What the last tokens of a text are like."""

import numpy as np
import pytest
from steerdose.outcomes.trailing import highest, onset, series_of, trailing_mean


def repeated_by_hand(ids, memory):
    """Compare every 4-gram with each that ended at one of the tokens before."""
    found = [0.0] * len(ids)
    for i in range(3, len(ids)):
        for j in range(max(3, i - memory), i):
            if list(ids[i - 3 : i + 1]) == list(ids[j - 3 : j + 1]):
                found[i] = 1.0
    return found


@pytest.mark.parametrize("memory", [1, 5, 48])
@pytest.mark.parametrize("length", [0, 3, 4, 5, 90])
def test_a_token_repeats_if_its_4_gram_ended_a_short_while_before(length, memory):
    ids = np.random.default_rng(length).integers(0, 3, length)
    found = series_of(ids, np.zeros(length), memory)["repetition"]
    assert found.tolist() == repeated_by_hand(ids, memory)


def test_a_loop_repeats_from_its_second_round_on_and_no_longer_than_the_memory():
    phrase = list(range(100, 110))
    ids = [*range(20), *phrase * 3]
    assert series_of(ids, [0.0] * 50, 48)["repetition"].tolist() == [0.0] * 33 + [1.0] * 17
    assert not series_of(ids, [0.0] * 50, 9)["repetition"].any(), "the phrase is longer than the memory"


def test_a_trailing_mean_waits_until_its_stretch_is_full():
    found = trailing_mean(np.array([1.0, 2.0, 3.0, 10.0]), 3)
    assert np.isnan(found[:2]).all()
    assert found[2:].tolist() == [2.0, 5.0]
    assert np.isnan(trailing_mean(np.array([1.0]), 3)).all()


def test_the_highest_value_of_a_text_too_short_for_it_is_no_number_to_exceed():
    series = {"repetition": np.array([0.0, 1.0, 1.0]), "nll": np.array([2.0, 4.0, 6.0])}
    assert highest(series, {"repetition": 2, "nll": 3}) == {"repetition": 1.0, "nll": 4.0, "joint": 5.0}
    assert highest(series, {"repetition": 4, "nll": 4}) == dict.fromkeys(("repetition", "nll", "joint"), -np.inf)


@pytest.mark.parametrize("begins", [30, 40, 47])
def test_the_onset_is_where_the_level_changed(begins):
    values = np.random.default_rng(begins).exponential(1.0, 60)
    values[begins:] += 6.0
    at = 1 + int(np.argmax(np.nan_to_num(trailing_mean(values, 24), nan=0) > 3.0))
    assert at > begins, "it rings later"
    assert abs(onset(values, 3.0, at, 24) - begins) <= 2
