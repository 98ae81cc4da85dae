"""Does the model still know it? Every claim and its negated form, judged true or false in one forward.

A model that says "true" more often is not one that knows more, so the two forms of a claim are read together. With
l = log p(true) - log p(false) of each form and s = 1 for a true claim, -1 for a false one:

* discrimination = s (l_claim - l_negation) / 2, nats: above 0 the model prefers the form that is true.
* yes_bias = (l_claim + l_negation) / 2, nats: how far it leans to "true" whatever is claimed.
* correct = 1 where discrimination is above 0, 0 where it is below, 1/2 at 0.
* pmass = the mass on the two answers together, the smaller of the two forms: near 0 the answer is no answer.
"""

import math
from collections.abc import Sequence
from typing import Any

from steerdose.engine.probe import answer_sets
from steerdose.engine.score import Item, Score, render
from steerdose.steering.intervention import Intervention
from steerdose.study.config import Task
from steerdose.study.texts import Claim

FORMS = ("claim", "negation")
METRICS = ("discrimination", "yes_bias", "correct", "pmass")


def items(tokenizer: Any, claims: Sequence[Claim], task: Task, interventions: Sequence[Intervention]) -> list[Item]:
    """Return two items a claim, its plain and its negated form."""
    answers = answer_sets(tokenizer, "", task.answers, "tasks.knowledge.answers")
    texts = [(claim.id, form, getattr(claim, form)) for claim in claims for form in FORMS]
    return [
        Item(f"{name}.{form}", render(tokenizer, task.prompt.replace("{claim}", text), interventions), answers)
        for name, form, text in texts
    ]


def metrics(claims: Sequence[Claim], scores: Sequence[Score | None]) -> list[tuple[str, str, float | None]]:
    """Return item, metric and value of every claim. scores: of `items`, in order; None where logits overflowed."""
    rows: list[tuple[str, str, float | None]] = []
    for claim, plain, negated in zip(claims, scores[0::2], scores[1::2], strict=True):
        values = _values(claim.truth, plain, negated) if plain and negated else dict.fromkeys(METRICS)
        rows += [(claim.id, metric, values[metric]) for metric in METRICS]
    return rows


def _values(truth: bool, plain: Score, negated: Score) -> dict[str, float | None]:
    (yes, no), (yes_negated, no_negated) = plain.answers, negated.answers
    claim, negation = yes - no, yes_negated - no_negated
    discrimination = (claim - negation) / 2 * (1 if truth else -1)
    return {
        "discrimination": discrimination,
        "yes_bias": (claim + negation) / 2,
        "correct": 0.5 if discrimination == 0 else float(discrimination > 0),
        "pmass": min(math.exp(yes) + math.exp(no), math.exp(yes_negated) + math.exp(no_negated)),
    }
