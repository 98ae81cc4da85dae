"""How likely texts are to the steered model: fixed ones in several registers, and the unsteered model's own answers.

* nll = mean negative log-probability of a token, nats; perplexity is its exponential.
* agreement = share of tokens that are the likeliest ones. The unsteered model's answers are greedy, so of these it is
  the share of places at which the steered model would go on in the same way. Of fixed texts it is not reported.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from steerdose.engine.score import Item, Score, render
from steerdose.model import chat
from steerdose.outcomes.tasks.rows import Found
from steerdose.steering.intervention import Intervention
from steerdose.study.items import Row, fill
from steerdose.study.tasks import LikelihoodTask

OWN = "own answers"  # the register of what the unsteered model wrote


def answers_of(tokens: pl.DataFrame, prompts: dict[str, str]) -> list[Row]:
    """Return the unsteered model's greedy texts as items. tokens: of the reference cohort. prompts: by question id."""
    greedy = tokens.filter(pl.col("prompt_id").is_in(list(prompts)), decoding="greedy", sample=0)
    texts = greedy.group_by("prompt_id", maintain_order=True).agg(pl.col("token_id").sort_by("t"))
    return [
        {"id": f"own.{name}", "register": OWN, "prompt": prompts[name], "token_ids": ids}
        for name, ids in texts.iter_rows()
    ]


def items(
    tokenizer: Any, rows: Sequence[Row], task: LikelihoodTask, interventions: Sequence[Intervention]
) -> list[Item]:
    """Return an item a text: fixed ones behind the task's prompt, answers behind their question."""
    asked = []
    for row in rows:
        ids = row.get("token_ids") or chat.encode(tokenizer, row["text"])
        user = row["prompt"] if row["register"] == OWN else fill(task.prompt, row)
        asked.append(Item(row["id"], render(tokenizer, user, interventions, ids), n_scored=len(ids)))
    return asked


def found(rows: Sequence[Row], task: LikelihoodTask, scores: Sequence[Score | None]) -> Iterator[Found]:  # noqa: ARG001
    """Yield the metrics of every text. scores: of `items`, in order; None where logits overflowed."""
    for row, score in zip(rows, scores, strict=True):
        nll = -float(np.mean(score.tokens)) if score else None
        yield Found(row["id"], row["id"], row["register"], None, "nll", nll)
        if row["register"] == OWN:
            agreement = float(np.mean(score.likeliest)) if score else None
            yield Found(row["id"], row["id"], row["register"], None, "agreement", agreement)
