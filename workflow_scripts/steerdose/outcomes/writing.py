"""What steered models write on the prompts of a task, for a program to judge; as rollouts are, but without probes."""

import logging

import polars as pl

from steerdose.columns import Cell
from steerdose.declarations.passed import WRITTEN, WRITTEN_TOKENS
from steerdose.dose.subjects import alphas_of, interventions, system_texts
from steerdose.engine.generate import generate
from steerdose.engine.requests import ask
from steerdose.files import read_json, write_table
from steerdose.model.loading import load_model
from steerdose.outcomes.trajectories import ROW, Kept, place_of, row_key, to_tables
from steerdose.study.blocks import blocks
from steerdose.study.items import load_items
from steerdose.study.settings import WriteTexts

log = logging.getLogger(__name__)

TABLES = {"tokens": WRITTEN_TOKENS, "trajectories": WRITTEN}


def write_texts(
    *,
    model: str,
    steering: list[str],
    doses: list[str],
    system_prompts: list[str],
    designed: list[str],
    cell: Cell,
    settings: WriteTexts,
    code: str,
    tokens: str,
    texts: str,
) -> None:
    """Write the greedy texts of every method of a job at all doses, on a part of the task's prompts.

    As with rollouts a text keeps a key, and only those that an earlier run of the job did not write are written.
    """
    loaded, task = load_model(model, settings.run), settings.task
    chosen = load_items(task)[settings.first : settings.last]
    unshared = {"task": task.model_copy(update={"n_items": None, "scorer": "valence"})}
    shared = settings.model_copy(update=unshared | {"alphas": (), "methods": {}, "first": 0, "last": 0}).text()
    shared = f"{code} {read_json(f'{model}/source.json')['sha256']} {shared}"
    batches, planned = [], []
    for name, subject in settings.methods.items():
        system = system_texts(subject, system_prompts, cell.behavior) if subject.style else {}
        given = interventions(name, subject, alphas_of(name, settings.alphas, designed), steering, doses, system)
        for block in blocks(len(chosen), 1, task.batch_size):
            rows = chosen[block.start : block.stop]
            requests = [ask(loaded.tokenizer, row["id"], row["prompt"], each) for row in rows for each in given]
            batches.append((name, requests))
            prompts = [row["prompt"] for row in rows]
            planned += [(*place_of(name, request), row_key(shared, request, (), prompts)) for request in requests]
    files = {"tokens": tokens, "trajectories": texts}
    kept = Kept(files, pl.DataFrame(planned, schema=[*ROW, "key"], orient="row"), TABLES)
    new: dict[str, list[pl.DataFrame]] = {name: [] for name in TABLES}
    for name, requests in batches:
        missing = [request for request in requests if not kept.has(name, request)]
        log.info("%s: %d texts kept, %d to write", name, len(requests) - len(missing), len(missing))
        batch_size = task.batch_size * max(1, len({request.intervention for request in requests}))
        found = generate(loaded, missing, window=task.window, batch_size=batch_size, description="texts")
        for table, frame in to_tables(loaded.tokenizer, missing, found, cell.of(name)).items():
            if table in new:
                new[table].append(frame)
    for table, path in files.items():
        write_table(kept.with_new(table, new[table]), path, TABLES[table])
