"""Repetition, loops, diversity and compressibility of token sequences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.text_measures import compression, measures
from steerdose.outcomes.text import MAX_PERIOD, MEASURES, text_measures


def whole(*texts):
    """Measures of whole texts, as one dict a text."""
    arrays = [np.array(text, dtype=np.int64) for text in texts]
    found = text_measures(arrays, [np.array([len(text)]) for text in texts])
    return [{name: value[i] for name, value in found.items()} for i in range(len(texts))]


def test_a_text_without_repeats():
    (found,) = whole([5, 1, 9, 4, 7, 3])
    assert (found["distinct_1"], found["distinct_2"], found["distinct_3"], found["rep_4"]) == (1, 1, 1, 0)
    assert found["loop"] == 0


def test_one_token_over_and_over():
    (found,) = whole([8] * 100)
    assert found["distinct_1"] == pytest.approx(1 / 100)
    assert found["distinct_3"] == pytest.approx(1 / 98)
    assert found["rep_4"] == pytest.approx(96 / 97)
    assert found["loop"] == 100
    assert found["compression"] > 10


def test_counts_by_hand():
    (found,) = whole([1, 2, 1, 2, 1, 3])  # bigrams 12 21 12 21 13; trigrams 121 212 121 213; 4-grams 1212 2121 1213
    assert found["distinct_1"] == pytest.approx(3 / 6)
    assert found["distinct_2"] == pytest.approx(3 / 5)
    assert found["distinct_3"] == pytest.approx(3 / 4)
    assert found["rep_4"] == 0
    assert found["loop"] == 5  # 1 2 1 2 1


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ([1, 2, 3, 4, 5, 5, 6], 2),
        ([9, 1, 2, 3, 1, 2, 3, 9], 6),
        ([1, 2, 3, 1, 2], 0),
        ([1, 1, 2, 3, 2, 3, 2, 3, 2], 7),
        (list(range(MAX_PERIOD)) * 2, 2 * MAX_PERIOD),
        (list(range(MAX_PERIOD + 1)) * 2, 0),
    ],
    ids=["pair", "phrase_twice", "not_twice", "the_longer_of_two", "longest_period", "longer_than_the_longest"],
)
def test_loops(text, loop):
    assert whole(text)[0]["loop"] == loop


def test_a_prefix_is_measured_as_if_the_text_ended_there():
    text = np.array([1, 2, 3, 1, 2, 3, 1, 2, 3, 7])
    found = text_measures([text], [np.array([9, 0, 6, 4])])
    assert found["loop"].tolist() == [9, 0, 6, 0]
    assert found["distinct_1"].tolist()[2:] == [3 / 6, 3 / 4]
    assert np.isnan(found["rep_4"]).tolist() == [False, True, False, False]
    assert np.isnan(found["compression"]).tolist() == [False, True, False, False]


def test_texts_without_tokens():
    found = whole([], [4, 4])
    assert found[0]["loop"] == 0
    assert np.isnan(found[0]["distinct_1"])
    assert found[1]["distinct_1"] == 0.5
    assert {name: len(value) for name, value in text_measures([], []).items()} == dict.fromkeys(MEASURES, 0)


texts = st.lists(st.lists(st.integers(0, 3), max_size=14), min_size=1, max_size=4)


@settings(max_examples=60)
@given(texts, st.randoms(use_true_random=False))
def test_they_equal_the_slow_twin_in_any_company(texts, random):
    arrays = [np.array(text, dtype=np.int64) for text in texts]
    prefixes = [np.array(random.sample(range(len(text) + 1), random.randint(0, len(text) + 1)), int) for text in texts]
    found = text_measures(arrays, prefixes)
    expected = [measures(text[:t]) for text, lengths in zip(texts, prefixes, strict=True) for t in lengths.tolist()]
    assert list(found) == list(MEASURES)
    for name, values in found.items():
        plain = [None if np.isnan(value) else value for value in values]
        assert plain == [None if row[name] is None else pytest.approx(row[name]) for row in expected]


@given(st.lists(st.integers(0, 5), min_size=4, max_size=20), st.permutations(range(6)))
def test_names_of_tokens_do_not_matter_but_to_the_compressor(text, names):
    found, renamed = whole(text, [names[token] + 40000 for token in text])
    assert [found[name] for name in MEASURES if name != "compression"] == [
        renamed[name] for name in MEASURES if name != "compression"
    ]


@pytest.mark.parametrize("period", [1, 7, 500])
def test_a_long_text_is_compressed_as_in_one_piece(period):
    generator = np.random.default_rng(0)
    text = np.resize(generator.integers(0, 49152, period), 4096)
    text[::11] = generator.integers(0, 49152, len(text[::11]))
    times = np.array([1, 10, 300, 2048, 4096])
    found = text_measures([text], [times])["compression"]
    assert found.tolist() == pytest.approx([compression(text[:t].tolist()) for t in times], rel=1e-3)
