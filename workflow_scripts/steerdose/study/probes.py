"""The probes of a study: what is asked behind a text, and what is the right answer."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from steerdose.errors import SteerdoseError
from steerdose.study.base import Part, told_apart, unique
from steerdose.study.texts import Question

ProbeKind = Literal["interrupt", "splice", "recall"]
Shown = Annotated[str, Field(pattern=r"\S")]


class Probe(Part):
    """A question with two answers that is put behind the text."""

    kind: ProbeKind
    question: str | None = Field(
        description="Of kind interrupt, and of kind recall, with {first} and {second}; null for splice."
    )
    prefill: Shown
    answers: tuple[Shown, Shown] | None = Field(
        description="The first one says that the study's question is true; null for recall, whose answers are topics "
        "of data.questions: the question's own and another, in an order that is balanced over questions."
    )

    @field_validator("answers")
    @classmethod
    def _distinct(cls, value: tuple[str, str] | None) -> tuple[str, str] | None:
        return value and told_apart((value[0], unique(value)[1]))

    @model_validator(mode="after")
    def _asked(self) -> Self:
        question = (self.question or "").strip()
        if (self.kind != "splice") != bool(question):
            raise ValueError("question: kinds interrupt and recall need one, kind splice has none (question: null)")
        if (self.kind == "recall") != (self.answers is None):
            raise ValueError("answers: kinds interrupt and splice need two, recall has none (answers: null)")
        if self.kind == "recall" and not all(name in question for name in ("{first}", "{second}")):
            raise ValueError("question: kind recall asks which of {first} and {second} it was; both must be in it")
        return self


def recalled_topics(questions: Sequence[Question]) -> dict[str, tuple[str, str]]:
    """Return by question the two topics that a recall probe offers, one of which is its own.

    Of the questions of one topic every second is offered its own one first, and the others in turn beside it. Raises
    SteerdoseError where all questions have one topic.
    """
    topics = list(dict.fromkeys(question.topic for question in questions))
    if len(topics) < 2:
        raise SteerdoseError(f"data.questions: a recall probe needs two topics at least, found {topics}")
    asked = dict.fromkeys(topics, 0)
    found = {}
    for question in questions:
        own, turn = question.topic, asked[question.topic]
        asked[own] += 1
        place = topics.index(own)
        other = topics[(place + 1 + turn % (len(topics) - 1)) % len(topics)]
        found[question.id] = (own, other) if (place + turn) % 2 == 0 else (other, own)
    return found


def truths_of(kind: ProbeKind, questions: Sequence[Question]) -> dict[str, bool]:
    """Return by question whether the first answer of a probe of this kind is the right one."""
    if kind != "recall":
        return {question.id: question.answer for question in questions}
    topics = recalled_topics(questions)
    return {question.id: topics[question.id][0] == question.topic for question in questions}
