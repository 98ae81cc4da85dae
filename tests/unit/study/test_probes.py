"""What probes ask, and what is right."""

from collections import Counter
from itertools import pairwise

import pytest
from pydantic import ValidationError
from steerdose.errors import SteerdoseError
from steerdose.study.probes import Probe, recalled_topics, truths_of
from steerdose.study.texts import Question, load_questions

QUESTIONS = load_questions("data/questions.jsonl")
RECALL = Probe(kind="recall", question="About {first} or {second}?", prefill="About", answers=None)


def test_recall_offers_the_own_topic_and_each_other_one_evenly():
    topics = recalled_topics(QUESTIONS)
    offered = Counter()
    for question in QUESTIONS:
        assert question.topic in topics[question.id]
        assert topics[question.id][0] != topics[question.id][1]
        offered.update(set(topics[question.id]) - {question.topic})
    assert set(offered.values()) == {8}, "80 questions, 10 topics"


def test_the_right_topic_stands_first_for_half_of_the_questions_and_of_those_that_are_taken_first():
    truths = list(truths_of("recall", QUESTIONS).values())
    assert sum(truths) == len(truths) / 2
    assert 9 <= sum(truths[:24]) <= 15
    for topic in {question.topic for question in QUESTIONS}:
        own = [truth for question, truth in zip(QUESTIONS, truths, strict=True) if question.topic == topic]
        assert all(a != b for a, b in pairwise(own))


def test_what_is_right_for_other_probes_is_the_answer():
    assert truths_of("interrupt", QUESTIONS) == {question.id: question.answer for question in QUESTIONS}


def test_one_topic_cannot_be_recalled():
    with pytest.raises(SteerdoseError, match="needs two topics at least, found .'sea'"):
        recalled_topics([Question("q", "sea", "Is it wet?", True)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers": ("yes", "no")}, "recall has none"),
        ({"question": "What was it about?"}, "both must be in it"),
        ({"question": None}, "kinds interrupt and recall need one"),
        ({"kind": "interrupt"}, "kinds interrupt and splice need two"),
    ],
)
def test_a_probe_that_does_not_fit_its_kind_is_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        Probe(**{**RECALL.model_dump(), **change})
