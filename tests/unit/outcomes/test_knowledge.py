"""The knowledge task: what it computes of hand-made readings, and what a planted model shows."""

import math

import pytest
import tiny
from steerdose.engine.score import Score
from steerdose.model import chat
from steerdose.outcomes.tasks.knowledge import METRICS, items, metrics
from steerdose.steering.intervention import UNSTEERED, Intervention
from steerdose.study.config import Task
from steerdose.study.texts import Claim

TASK = Task(prompt='True? {claim} Reply "true" or "false".', answers=("true", "false"), batch_size=4)
CLAIMS = [
    Claim("q-1", "t", "Two is even.", "Two is not even.", True),
    Claim("q-2", "t", "Ice is hot.", "Ice is not hot.", False),
]


def reading(true, false):
    """A reading in which the two answers have these probabilities."""
    return Score((math.log(true), math.log(false)), ())


def values(*readings):
    found = metrics(CLAIMS, readings)
    return {(item, metric): value for item, metric, value in found}


def test_a_model_that_knows_discriminates_and_has_no_bias():
    found = values(reading(0.8, 0.2), reading(0.2, 0.8), reading(0.1, 0.4), reading(0.4, 0.1))
    assert found["q-1", "discrimination"] == pytest.approx(math.log(4))
    assert found["q-2", "discrimination"] == pytest.approx(math.log(4))
    assert found["q-1", "yes_bias"] == found["q-2", "yes_bias"] == pytest.approx(0)
    assert found["q-1", "correct"] == found["q-2", "correct"] == 1
    assert (found["q-1", "pmass"], found["q-2", "pmass"]) == (pytest.approx(1), pytest.approx(0.5))


def test_a_model_that_says_true_to_everything_shows_bias_and_no_knowledge():
    found = values(*[reading(0.9, 0.1)] * 4)
    assert [found[claim.id, "discrimination"] for claim in CLAIMS] == [0, 0]
    assert [found[claim.id, "correct"] for claim in CLAIMS] == [0.5, 0.5]
    assert [found[claim.id, "yes_bias"] for claim in CLAIMS] == pytest.approx([math.log(9)] * 2)


def test_a_model_that_has_it_the_wrong_way_round_is_below_chance():
    found = values(reading(0.2, 0.8), reading(0.8, 0.2), reading(0.8, 0.2), reading(0.2, 0.8))
    assert [found[claim.id, "correct"] for claim in CLAIMS] == [0, 0]


def test_a_form_whose_logits_overflowed_leaves_its_claim_without_values():
    found = values(reading(0.8, 0.2), None, reading(0.1, 0.4), reading(0.4, 0.1))
    assert [found["q-1", metric] for metric in METRICS] == [None] * 4
    assert found["q-2", "correct"] == 1


def test_items_are_both_forms_rendered_behind_each_system_text():
    tokenizer = tiny.tokenizer()
    found = items(tokenizer, CLAIMS, TASK, [UNSTEERED, Intervention(system="Lie.")])
    assert [item.id for item in found] == ["q-1.claim", "q-1.negation", "q-2.claim", "q-2.negation"]
    text = 'True? Two is not even. Reply "true" or "false".'
    assert found[1].ids["Lie."] == tuple(chat.prompt_ids(tokenizer, chat.conversation(text, "Lie.")))
    assert found[1].ids[None] == tuple(chat.prompt_ids(tokenizer, chat.conversation(text)))
    assert all(item.answers == found[0].answers and len(item.answers) == 2 for item in found)
