"""Scores of a task at every dose: items are read under all methods of a job, and readings become metrics.

As with trajectories (see there) every row has a key, and only what an earlier run of the job did not score is scored.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from steerdose.columns import Cell
from steerdose.declarations.passed import KEYED_SCORES, REFERENCE_TOKENS
from steerdose.dose.subjects import alphas_of, interventions, system_texts
from steerdose.engine.score import Item, Score, score
from steerdose.files import read_json, read_table, write_table
from steerdose.model.loading import LoadedModel, load_model
from steerdose.outcomes.tasks import choice, likelihood, options
from steerdose.outcomes.tasks.rows import TYPES, Found
from steerdose.steering.intervention import Intervention
from steerdose.study.blocks import blocks
from steerdose.study.items import Row, load_items
from steerdose.study.settings import ScoreTask
from steerdose.study.tasks import LikelihoodTask, ReadTask
from steerdose.study.texts import load_questions

log = logging.getLogger(__name__)


class Reader(Protocol):
    """A kind of task: what is read of its items, and what is made of the readings, which come in the same order."""

    def items(
        self, tokenizer: Any, rows: Sequence[Row], task: Any, interventions: Sequence[Intervention]
    ) -> list[Item]: ...

    def found(self, rows: Sequence[Row], task: Any, scores: Sequence[Score | None]) -> Iterator[Found]: ...


TASKS: dict[str, Reader] = {"choice": choice, "likelihood": likelihood, "options": options}
ROWS = 384  # read at a time above the first edited block, at most
ROW = ("method", "alpha", "item")  # what tells the scored items of a job apart
SCHEMA: dict[str, type[pl.DataType]] = {
    **{"method": pl.String, "alpha": pl.Float64, "coefficient": pl.Float64},
    **TYPES,
    "key": pl.String,
}


def readings(
    loaded: LoadedModel, rows: Sequence[Row], chosen: Sequence[Intervention], task: ReadTask
) -> list[list[Found]]:
    """Return what is found of a task's items under each intervention, a bounded number of these at a time."""
    kind = TASKS[task.kind]
    items = kind.items(loaded.tokenizer, rows, task, chosen)
    together = max(1, ROWS // task.batch_size)
    every: list[list[Found]] = []
    for start in range(0, len(chosen), together):
        part = chosen[start : start + together]
        scores = score(loaded, part, items, batch_rows=task.batch_size * len(part))
        every += [list(kind.found(rows, task, own)) for own in scores]
    return every


def rows_of(task: ReadTask, template: str, reference: Sequence[str], questions: str) -> list[Row]:
    """Return a task's items. reference: the one file with texts of the unsteered model, if the task reads these."""
    rows = load_items(task)
    if isinstance(task, LikelihoodTask) and reference:
        asked = load_questions(questions)[: task.n_answers]
        prompts = {each.id: template.replace("{question}", each.question) for each in asked}
        rows += likelihood.answers_of(read_table(reference[0], REFERENCE_TOKENS), prompts)
    return rows


def row_key(shared: str, intervention: Intervention, row: Row, batch: Sequence[Row]) -> str:
    """Return a digest of what an item's scores depend on. shared: as text, what it has in common with all others.

    batch: the items that are read together, and pad each other.
    """
    steering = intervention.steering
    dose = (steering.digest if steering else "", repr(intervention.coefficient), intervention.positions)
    parts = (shared, *dose, intervention.system, row, *batch)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def kept_rows(path: str, planned: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of an earlier run of the same job whose keys are still right."""
    if not Path(path).exists():
        return pl.DataFrame(schema=SCHEMA)
    return read_table(path, KEYED_SCORES).select(list(SCHEMA)).join(planned, on=[*ROW, "key"], how="semi")


def score_task(
    *,
    model: str,
    steering: list[str],
    doses: list[str],
    reference: list[str],
    questions: str,
    system_prompts: list[str],
    designed: list[str],
    cell: Cell,
    settings: ScoreTask,
    code: str,
    scores: str,
) -> None:
    """Score a part of a task's items at all alphas of every method of a job, and write a row a metric."""
    chosen = rows_of(settings.task, settings.template, reference, questions)[settings.first : settings.last]
    given: dict[str, list[Intervention]] = {}
    for name, subject in settings.methods.items():
        texts = system_texts(subject, system_prompts, cell.behavior) if subject.style else {}
        alphas = alphas_of(name, settings.alphas, designed)
        given[name] = interventions(name, subject, alphas, steering, doses, texts)
    own = settings.task.model_copy(update={"n_items": None})
    shared = settings.model_copy(update={"task": own, "alphas": (), "methods": {}, "first": 0, "last": 0}).text()
    shared = f"{code} {read_json(f'{model}/source.json')['sha256']} {shared}"
    batches = [chosen[part.start : part.stop] for part in blocks(len(chosen), 1, settings.task.batch_size)]
    rows = [
        (name, each.alpha, row["id"], row_key(shared, each, row, batch))
        for name, own in given.items()
        for batch in batches
        for row in batch  # above the doses, so that parts of a task follow each other as a whole
        for each in own
    ]
    planned = pl.DataFrame(rows, schema=[*ROW, "key"], orient="row")
    kept = kept_rows(scores, planned)
    missing = planned.join(kept, on=[*ROW, "key"], how="anti")
    log.info("%d of %d items x doses are kept", len(planned) - len(missing), len(planned))
    new = _scored(missing, given, chosen, settings, model) if len(missing) else pl.DataFrame(schema=SCHEMA)
    order = planned.with_row_index("place").drop("key")
    placed = pl.concat([kept, new]).join(order, on=ROW, how="left", maintain_order="left")
    labels = cell.columns()
    write_table(placed.sort("place", maintain_order=True).drop("place").with_columns(labels), scores, KEYED_SCORES)


def _scored(
    missing: pl.DataFrame,
    given: Mapping[str, Sequence[Intervention]],
    rows: Sequence[Row],
    settings: ScoreTask,
    model: str,
) -> pl.DataFrame:
    """Score every dose that misses any item, on the items that any dose misses; return the missing rows."""
    loaded = load_model(model, settings.run)
    wanted = set(missing["item"])
    asked = [row for row in rows if row["id"] in wanted]
    pairs = dict.fromkeys(missing.select("method", "alpha").rows())
    chosen = [(name, each) for name, own in given.items() for each in own if (name, each.alpha) in pairs]
    found = readings(loaded, asked, [each for _, each in chosen], settings.task)
    new = [
        (name, each.alpha, each.tabled_coefficient, *row)
        for (name, each), own in zip(chosen, found, strict=True)
        for row in own
    ]
    columns = [column for column in SCHEMA if column != "key"]
    frame = pl.DataFrame(new, schema={column: SCHEMA[column] for column in columns}, orient="row")
    return frame.join(missing, on=ROW, how="inner", maintain_order="left").select(list(SCHEMA))
