"""Which of several answers is likeliest as a whole: the form of TruthfulQA's MC1 (Lin et al. 2022, arXiv:2109.07958).

With l_i the log-probability of answer i (the sum over its tokens), the likeliest right one at l and the likeliest wrong
one at w: margin = l - w, nats; correct = 1 where it is above 0. Long answers are less likely than short ones whatever
they say, so the change under a steering means more than the level.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from steerdose.engine.score import Item, Score, render
from steerdose.errors import SteerdoseError
from steerdose.model import chat
from steerdose.outcomes.tasks.rows import Found
from steerdose.steering.intervention import Intervention
from steerdose.study.items import Row, fill
from steerdose.study.tasks import OptionsTask


def items(tokenizer: Any, rows: Sequence[Row], task: OptionsTask, interventions: Sequence[Intervention]) -> list[Item]:
    """Return an item a row and answer, behind each system text."""
    asked = []
    for row in rows:
        user = fill(task.prompt, row)
        for place, (option, _) in enumerate(options_of(row, task)):
            ids = chat.encode(tokenizer, option)
            asked.append(Item(f"{row['id']}.{place}", render(tokenizer, user, interventions, ids), n_scored=len(ids)))
    return asked


def found(rows: Sequence[Row], task: OptionsTask, scores: Sequence[Score | None]) -> Iterator[Found]:
    """Yield margin and correct of every item. scores: of `items`, in order; None where logits overflowed."""
    left = iter(scores)
    for row in rows:
        read = [(right, next(left)) for _, right in options_of(row, task)]
        values: dict[str, float | None] = {"margin": None, "correct": None}
        if all(score for _, score in read):
            best = {side: max(sum(s.tokens) for right, s in read if s and right is side) for side in (True, False)}
            margin = best[True] - best[False]
            values = {"margin": margin, "correct": 0.5 if margin == 0 else float(margin > 0)}
        yield from (Found(row["id"], row["id"], "", None, metric, value) for metric, value in values.items())


def options_of(row: Row, task: OptionsTask) -> list[tuple[str, bool]]:
    """Return the answers of an item and whether each is right; raise SteerdoseError unless there are both kinds."""
    texts, marks = _at(row, task.options), _at(row, task.right)
    if not texts or len(texts) != len(marks) or len(set(map(bool, marks))) != 2:
        raise SteerdoseError(
            f"{task.data}: item '{row['id']}' is to have as many marks in '{task.right}' as answers in "
            f"'{task.options}', and right and wrong ones among them"
        )
    return [(str(text), bool(mark)) for text, mark in zip(texts, marks, strict=True)]


def _at(row: Row, path: str) -> Any:
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
