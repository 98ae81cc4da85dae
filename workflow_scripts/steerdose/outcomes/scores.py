"""Scores of a task at every dose: items are read under all methods of a job, and readings become metrics.

As with trajectories (see there) every row has a key, and only what an earlier run of the job did not score is scored.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from steerdose.columns import Cell
from steerdose.declarations.passed import KEYED_SCORES
from steerdose.dose.subjects import interventions, system_texts
from steerdose.engine.score import Score, score
from steerdose.files import read_json, read_table, write_table
from steerdose.model.loading import LoadedModel, load_model
from steerdose.outcomes.tasks import knowledge
from steerdose.steering.intervention import Intervention
from steerdose.study.blocks import blocks
from steerdose.study.config import Task
from steerdose.study.settings import ScoreTask
from steerdose.study.texts import Claim, load_claims

log = logging.getLogger(__name__)

TASKS = {"knowledge": knowledge}
ROWS = 384  # read at a time above the first edited block, at most
ROW = ("method", "alpha", "item")  # what tells the scored items of a job apart
SCHEMA = {
    **{"method": pl.String, "alpha": pl.Float64, "coefficient": pl.Float64, "item": pl.String},
    **{"metric": pl.String, "value": pl.Float64, "key": pl.String},
}


def readings(
    loaded: LoadedModel, claims: Sequence[Claim], chosen: Sequence[Intervention], task: Task, name: str
) -> list[list[Score | None]]:
    """Return the scores of a task's items, (interventions, items), a bounded number of interventions at a time."""
    items = TASKS[name].items(loaded.tokenizer, claims, task, chosen)
    together = max(1, ROWS // task.batch_size)
    found: list[list[Score | None]] = []
    for start in range(0, len(chosen), together):
        part = chosen[start : start + together]
        found += score(loaded, part, items, batch_rows=task.batch_size * len(part))
    return found


def row_key(shared: str, intervention: Intervention, claim: Claim, batch: Sequence[Claim]) -> str:
    """Return a digest of what an item's scores depend on. shared: as text, what it has in common with all others.

    batch: the items that are read together, and pad each other.
    """
    steering = intervention.steering
    dose = (steering.digest if steering else "", repr(intervention.coefficient), intervention.positions)
    parts = (shared, *dose, intervention.system, claim, *batch)
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
    claims: str,
    system_prompts: list[str],
    task: str,
    cell: Cell,
    settings: ScoreTask,
    code: str,
    scores: str,
) -> None:
    """Score a part of a task's items at all alphas of every method of a job, and write a row a metric."""
    chosen = load_claims(claims)[settings.first : settings.last]
    given: dict[str, list[Intervention]] = {}
    for name, subject in settings.methods.items():
        texts = system_texts(subject, system_prompts, cell.behavior) if subject.style else {}
        given[name] = interventions(name, subject, settings.alphas, steering, doses, texts)
    shared = settings.model_copy(update={"alphas": (), "methods": {}, "first": 0, "last": 0}).text()
    shared = f"{code} {read_json(f'{model}/source.json')['sha256']} {task} {shared}"
    batches = [chosen[part.start : part.stop] for part in blocks(len(chosen), 1, settings.task.batch_size)]
    rows = [
        (name, each.alpha, claim.id, row_key(shared, each, claim, batch))
        for name, own in given.items()
        for batch in batches
        for claim in batch  # above the doses, so that parts of a task follow each other as a whole
        for each in own
    ]
    planned = pl.DataFrame(rows, schema=[*ROW, "key"], orient="row")
    kept = kept_rows(scores, planned)
    missing = planned.join(kept, on=[*ROW, "key"], how="anti")
    log.info("%d of %d items x doses are kept", len(planned) - len(missing), len(planned))
    new = _scored(missing, given, chosen, settings, model, task) if len(missing) else pl.DataFrame(schema=SCHEMA)
    order = planned.with_row_index("place").drop("key")
    placed = pl.concat([kept, new]).join(order, on=ROW, how="left", maintain_order="left")
    labels = cell.columns()
    write_table(placed.sort("place", maintain_order=True).drop("place").with_columns(labels), scores, KEYED_SCORES)


def _scored(
    missing: pl.DataFrame,
    given: Mapping[str, Sequence[Intervention]],
    claims: Sequence[Claim],
    settings: ScoreTask,
    model: str,
    task: str,
) -> pl.DataFrame:
    """Score every dose that misses any item, on the items that any dose misses; return the missing rows."""
    loaded = load_model(model, dtype=settings.run.dtype, device=settings.run.device)
    wanted = set(missing["item"])
    items = [claim for claim in claims if claim.id in wanted]
    pairs = dict.fromkeys(missing.select("method", "alpha").rows())
    chosen = [(name, each) for name, own in given.items() for each in own if (name, each.alpha) in pairs]
    found = readings(loaded, items, [each for _, each in chosen], settings.task, task)
    rows: list[tuple[Any, ...]] = []
    for (name, each), scores in zip(chosen, found, strict=True):
        rows += [(name, each.alpha, each.tabled_coefficient, *row) for row in TASKS[task].metrics(items, scores)]
    columns = [column for column in SCHEMA if column != "key"]
    frame = pl.DataFrame(rows, schema={column: SCHEMA[column] for column in columns}, orient="row")
    return frame.join(missing, on=ROW, how="inner", maintain_order="left").select(list(SCHEMA))
