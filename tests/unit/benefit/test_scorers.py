"""Programs that judge texts: what they must accept, and what they must reject."""

import json
from pathlib import Path

import pytest
from steerdose.benefit.scorers import CHECKS, check_items, passed, sentences, valence
from steerdose.errors import SteerdoseError

ROWS = [json.loads(line) for line in Path("data/instructions.jsonl").read_text(encoding="utf-8").splitlines()]
CALL = '{"tool": "add", "arguments": {"a": 2, "b": 5}}'


def test_glad_and_gloomy_texts_stand_on_their_sides_and_neutral_between():
    glad = valence("What a wonderful morning! The children laugh, and everybody is happy.", {})
    gloomy = valence("What a dreadful morning. The children weep, and everybody is miserable.", {})
    assert gloomy < -0.3 < valence("The shop opens at nine. It sells clocks.", {}) < 0.3 < glad
    assert valence("We are not happy here.", {}) < 0
    assert valence("Nobody is happy here.", {}) > 0, "a known fault of word lists, told in the docstring"
    assert valence("", {}) == 0


def test_valence_is_a_mean_over_sentences_and_does_not_grow_with_length():
    one = "It is a nice day."
    assert valence(" ".join([one] * 20), {}) == pytest.approx(valence(one, {}))


def test_sentences_end_at_marks_and_lines():
    assert sentences('He came. "Did he?" she asked!\nYes') == ["He came.", '"Did he?"', "she asked!", "Yes"]


@pytest.mark.parametrize(
    ("check", "wanted", "good", "bad"),
    [
        ("words", {"at_most": 3}, "one two three", "one two three four"),
        ("words", {"at_least": 2}, "one two", "one -"),
        ("sentences", {"at_least": 2, "at_most": 2}, "One. Two.", "One. Two. Three."),
        ("lines", {"at_least": 2, "at_most": 2}, "one\n\ntwo", "one"),
        ("lines_starting", {"text": "- ", "at_least": 2}, "- a\n- b", "a\n- b"),
        ("includes", ["loyal", "tail"], "A Loyal dog wags its tail", "a loyal dog"),
        ("excludes", ["cold"], "snow", "It is Cold."),
        ("starts", "Dear", "Dear all", "Hello"),
        ("ends", "That is all.", "Well. That is all.", "That is all. Bye"),
        ("letters", "upper", "IN THE EAST.", "In the East."),
        ("letters", "lower", "rome.", "Rome."),
        ("matches", "^[^,\n]+(,[^,\n]+){3}$", "a, b, c, d", "a, b"),
        ("language", "fr", "Je m'appelle Marie et j'habite à Paris.", "My name is Mary and I live in Paris."),
        ("language", "de", "Wir brauchen Wasser zum Trinken und zum Waschen.", ""),
        ("json", {"type": "array", "minItems": 2}, '```json\n["a", "b"]\n```', '["a"]'),
        ("json", {"type": "object"}, '{"a": 1}', 'Here it is: {"a": 1}'),
        ("json", {"type": "object"}, "{}", "[" * 100_000),
        ("tool_call", {"name": "add", "arguments": {"a": 2, "b": 5}}, CALL, CALL.replace("5", '"5"')),
        ("tool_call", {"name": "add", "arguments": {"a": 2, "b": 5}}, CALL, "add(2, 5)"),
    ],
)
def test_a_check_accepts_and_rejects(check, wanted, good, bad):
    assert CHECKS[check](good, wanted)
    assert not CHECKS[check](bad, wanted)


def test_the_share_of_passed_checks_is_the_value():
    item = {"checks": {"starts": "Dear", "ends": "Bye"}}
    assert passed("Dear all. Bye ", item) == 1
    assert passed("Dear all", item) == 0.5


def test_every_shipped_instruction_can_be_checked_and_is_failed_by_garbage():
    check_items(ROWS, "instructions")
    assert {name for row in ROWS for name in row["checks"]} == set(CHECKS)
    for garbage in ("", "the the the the the the the the the the the", "@@ ## ~~ || << >> ^^"):
        assert sum(passed(garbage, row) == 1 for row in ROWS) <= 4, garbage


def test_unknown_checks_are_refused():
    with pytest.raises(SteerdoseError, match="item 'a': `checks` is to name some of"):
        check_items([{"id": "a", "checks": {"rhymes": True}}], "x")
