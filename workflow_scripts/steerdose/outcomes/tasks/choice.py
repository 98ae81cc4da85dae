"""Two answers to a question, one of which shows the behavior; every item may be asked in several forms.

A steered model that says yes more often is not a more honest one, so forms with opposite labels are asked side by side.
Of every item and form:

* logratio = log p(first answer) - log p(second), nats; its label says which sign of it shows the behavior.
* pmass = the mass on the two answers together: near 0 the answer is no answer.
* answered = 1 where the likeliest next token is one of the two, else 0.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from steerdose.engine.probe import answer_sets
from steerdose.engine.score import Item, Score, render
from steerdose.model import chat
from steerdose.outcomes.tasks.rows import Found
from steerdose.steering.intervention import Intervention
from steerdose.study.items import Row, fill, forms_of, sign_of
from steerdose.study.tasks import ChoiceTask

METRICS = ("logratio", "pmass", "answered")


def items(tokenizer: Any, rows: Sequence[Row], task: ChoiceTask, interventions: Sequence[Intervention]) -> list[Item]:
    """Return an item a row and form, behind each system text."""
    prefill = chat.encode(tokenizer, task.prefill.rstrip())  # white space behind it would hide answers
    answers = {
        name: answer_sets(tokenizer, task.prefill.rstrip(), form.answers, f"forms.{name}.answers")
        for name, form in task.forms.items()
    }
    return [
        Item(
            f"{row['id']}.{name}",
            render(tokenizer, fill(task.forms[name].prompt, row), interventions, prefill),
            answers[name],
        )
        for row in rows
        for name in forms_of(row, task)
    ]


def found(rows: Sequence[Row], task: ChoiceTask, scores: Sequence[Score | None]) -> Iterator[Found]:
    """Yield the metrics of every item and form. scores: of `items`, in order; None where logits overflowed."""
    asked = [(row, name) for row in rows for name in forms_of(row, task)]
    for (row, form), score in zip(asked, scores, strict=True):
        cluster = str(row[task.cluster]) if task.cluster else row["id"]
        values = _values(score) if score else dict.fromkeys(METRICS)
        label = sign_of(row, form, task)
        yield from (Found(row["id"], cluster, form, label, metric, values[metric]) for metric in METRICS)


def _values(score: Score) -> dict[str, float | None]:
    first, second = score.answers
    return {
        "logratio": first - second,
        "pmass": math.exp(first) + math.exp(second),
        "answered": float(score.answered),
    }
