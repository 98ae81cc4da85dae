"""Rollouts of the yes/no questions as tables: tokens, trajectories and forks.

A row of the table of trajectories has a `key`, a digest of all that the trajectory depends on. A job that finds its own
tables from an earlier run keeps the trajectories whose key is still right, and rolls only the others out: one more dose
costs that dose, one more question its batch. `gather` drops the key.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from steerdose.columns import Cell
from steerdose.declarations.base import Table
from steerdose.declarations.passed import FORKS, KEYED_TRAJECTORIES, TOKENS
from steerdose.dose.subjects import interventions, system_texts
from steerdose.engine.fork_grid import fork_times
from steerdose.engine.generate import generate
from steerdose.engine.probe import ForkPlan, build_probe, build_recall
from steerdose.engine.requests import Request, Trajectory, ask
from steerdose.files import read_json, read_table, write_table
from steerdose.model.loading import LoadedModel, load_model
from steerdose.steering.intervention import Intervention
from steerdose.study.blocks import blocks
from steerdose.study.probes import Probe, recalled_topics
from steerdose.study.rollout import Decoding, Trajectories
from steerdose.study.settings import Rolled, RolloutTrajectories
from steerdose.study.texts import Question, load_questions

log = logging.getLogger(__name__)

TABLES = {"tokens": TOKENS, "trajectories": KEYED_TRAJECTORIES, "forks": FORKS}
ROW = ("method", "alpha", "prompt_id", "sample")  # what tells the trajectories of a job apart
TYPES: dict[str, dict[str, type[pl.DataType]]] = {
    "tokens": {"t": pl.Int32, "token_id": pl.Int32, "kl": pl.Float32, "nll": pl.Float32, "entropy": pl.Float32},
    "trajectories": {"n_tokens": pl.Int32, "ended": pl.Boolean, "text": pl.String},
    "forks": {
        **{"probe": pl.String, "reading": pl.String},
        **{"t": pl.Int32, "pmass": pl.Float64, "p_first": pl.Float64, "argmax": pl.String, "is_answer": pl.Boolean},
    },
}
KEY_TYPES = {"alpha": pl.Float64, "coefficient": pl.Float64, "prompt_id": pl.String, "sample": pl.Int32}


def fork_plan(
    tokenizer: Any,
    probes: Mapping[str, Probe],
    questions: Sequence[Question],
    options: Trajectories,
    readings: Sequence[str],
) -> ForkPlan:
    """Build the probes of a study, to be read at its forks. questions: all of the file, whichever are rolled out."""
    built = {}
    for name, probe in probes.items():
        if probe.answers is None:
            topics = recalled_topics(questions)
            built[name] = build_recall(tokenizer, probe.prefill, topics, probe.question or "", name)
        else:
            built[name] = build_probe(tokenizer, probe.kind, probe.prefill, probe.answers, probe.question, name)
    return ForkPlan(built, fork_times(options.window, **options.forks.model_dump()), readings)


def requests_of(
    tokenizer: Any,
    questions: Sequence[Question],
    chosen: Sequence[Intervention],
    template: str,
    decoding: Decoding | None = None,
) -> list[Request]:
    """Return every sample of every question under every intervention. The template holds {question}."""
    return [
        ask(tokenizer, question.id, template.replace("{question}", question.question), intervention, sample, decoding)
        for question in questions
        for sample in range(decoding.n_samples if decoding else 1)
        for intervention in chosen
    ]


def roll_out(
    loaded: LoadedModel,
    requests: Sequence[Request],
    options: Trajectories,
    plan: ForkPlan,
) -> list[Trajectory]:
    """Generate with the window and batch size of a study, and with its forks."""
    return generate(loaded, requests, window=options.window, batch_size=options.batch_size, plan=plan)


def to_tables(
    tokenizer: Any, requests: Sequence[Request], trajectories: Sequence[Trajectory], cell: Cell
) -> dict[str, pl.DataFrame]:
    """Return the frames of TYPES with the key columns; a prompt's coefficient is null."""
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
    for request, trajectory in zip(requests, trajectories, strict=True):
        own = request.intervention
        key = (own.alpha, own.tabled_coefficient, request.prompt_id, request.sample)
        tokens = zip(trajectory.token_ids, trajectory.kl, trajectory.nll, trajectory.entropy, strict=True)
        rows["tokens"] += [(*key, t, *each) for t, each in enumerate(tokens, start=1)]
        text = tokenizer.decode(trajectory.token_ids)
        rows["trajectories"].append((*key, len(trajectory.token_ids), trajectory.ended, text))
        rows["forks"] += [
            (*key, f.probe, f.reading, f.t, f.pmass, f.p_first, tokenizer.decode([f.argmax]), f.is_answer)
            for f in trajectory.forks
        ]
    return {
        name: pl.DataFrame(rows[name], schema={**KEY_TYPES, **TYPES[name]}, orient="row").with_columns(cell.columns())
        for name in TABLES
    }


def place_of(method: str, request: Request) -> tuple[str, float | None, str, int]:
    """Return the values of `ROW`."""
    return method, request.intervention.alpha, request.prompt_id, request.sample


class Kept:
    """The trajectories of an earlier run of the same job whose keys are still right."""

    def __init__(self, files: Mapping[str, str], planned: pl.DataFrame, tables: Mapping[str, Table] = TABLES) -> None:
        """planned: `ROW` and key of every trajectory that is wanted, in order. tables: declarations of the files."""
        self.planned = planned.with_row_index("place")
        self.frames: dict[str, pl.DataFrame] = {}
        if all(Path(path).exists() for path in files.values()):
            old = {name: read_table(path, tables[name]) for name, path in files.items()}
            right = old["trajectories"].join(planned, on=[*ROW, "key"], how="semi")
            self.frames = {name: frame.join(right, on=ROW, how="semi") for name, frame in old.items()}

    def has(self, method: str, request: Request) -> bool:
        found = self.frames.get("trajectories", pl.DataFrame())
        mine = dict(zip(ROW, place_of(method, request), strict=True))
        return not found.is_empty() and not found.filter(**mine).is_empty()

    def with_new(self, name: str, new: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Return a table of all that is wanted, kept or new, in the planned order."""
        old = [self.frames[name].drop("key", strict=False)] if self.frames else []
        every = pl.concat([*old, *new], how="diagonal")
        keys = ["key"] if name == "trajectories" else []
        placed = every.join(self.planned.select(*ROW, "place", *keys), on=ROW, how="left", maintain_order="left")
        return placed.sort("place", maintain_order=True).drop("place")


def row_key(shared: str, request: Request, asked: Sequence[Any], batch: Sequence[Any]) -> str:
    """Return a digest of what a trajectory depends on. shared: as text, what it has in common with all of its job.

    asked: the probes behind its prompt; a recall probe takes topics of other questions. batch: the questions, or
    prompts, that are rolled out together. They pad each other, which shows in the last digits of the KL, so another
    question is rolled out with those of its batch. Doses do not show: one more is rolled out alone.
    """
    steering, own = request.intervention.steering, request.intervention
    given = (repr(own.coefficient), own.positions, own.system, request.ids, request.sample)
    parts = (shared, steering.digest if steering else "", *given, *asked, *batch)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


class Rolling:
    """The trajectories of one job, rolled out as they are asked for; those of an earlier run are kept where right."""

    def __init__(
        self, model: str, questions: str, cell: Cell, settings: Rolled, code: str, files: Mapping[str, str]
    ) -> None:
        """files: of TABLES, which are written and were perhaps written before."""
        self.loaded = load_model(model, settings.run)
        self.options, self.cell, self.files = settings.trajectories, cell, files
        self.questions = load_questions(questions)
        self.plan = fork_plan(self.loaded.tokenizer, settings.probes, self.questions, self.options, settings.readings)
        unshared = {"methods": {}, "trajectories": self.options.model_copy(update={"n_questions": 1})}
        shared = Rolled(**{name: getattr(settings, name) for name in Rolled.model_fields} | unshared).text()
        self.shared = f"{code} {read_json(f'{model}/source.json')['sha256']} {shared}"
        self.batches: list[tuple[str, list[Request]]] = []
        self.planned: list[tuple[Any, ...]] = []

    def ask(self, method: str, given: Sequence[Intervention], questions: Sequence[Question], together: int) -> None:
        """Ask for questions under interventions of a method. together: interventions that share a batch."""
        for block in blocks(len(questions), together * self.options.n_samples, self.options.batch_size):
            asked = questions[block.start : block.stop]
            requests = requests_of(self.loaded.tokenizer, asked, given, self.options.template, self.options.drawn)
            self.batches.append((method, requests))
            keys = (row_key(self.shared, r, self.plan.behind(r.prompt_id), asked) for r in requests)
            self.planned += [(*place_of(method, r), key) for r, key in zip(requests, keys, strict=True)]

    def write(self, *, last: bool = True) -> dict[str, pl.DataFrame]:
        """Roll out what was asked for and is not there; write and return the tables of all that was asked for.

        Before the last time they are written only if something was new: what is asked for next may lie in the files.
        """
        kept = Kept(self.files, pl.DataFrame(self.planned, schema=[*ROW, "key"], orient="row"))
        new: dict[str, list[pl.DataFrame]] = {name: [] for name in TABLES}
        for name, requests in self.batches:
            missing = [request for request in requests if not kept.has(name, request)]
            log.info("%s: %d trajectories kept, %d to roll out", name, len(requests) - len(missing), len(missing))
            rolled = roll_out(self.loaded, missing, self.options, self.plan)
            for table, frame in to_tables(self.loaded.tokenizer, missing, rolled, self.cell.of(name)).items():
                new[table].append(frame)
        tables = {table: kept.with_new(table, new[table]) for table in self.files}
        if last or any(map(len, new["trajectories"])):
            for table, path in self.files.items():
                write_table(tables[table], path, TABLES[table])
        return tables


def rollout_trajectories(
    *,
    model: str,
    steering: list[str],
    doses: list[str],
    questions: str,
    system_prompts: list[str],
    cell: Cell,
    settings: RolloutTrajectories,
    code: str,
    tokens: str,
    trajectories: str,
    forks: str,
) -> None:
    """Roll a part of the questions out at all alphas of every method of a job, and write the three tables.

    A prompt has alpha 1 for its positive text, -1 for the negative one, 0 for none, and `kl` is against the model
    without the text.
    """
    files = {"tokens": tokens, "trajectories": trajectories, "forks": forks}
    rolling = Rolling(model, questions, cell, settings, code, files)
    chosen = rolling.questions[settings.first : settings.last]
    for name, subject in settings.methods.items():
        texts = system_texts(subject, system_prompts, cell.behavior) if subject.style else {}
        given = interventions(name, subject, settings.alphas, steering, doses, texts)
        rolling.ask(name, given, chosen, len(settings.alphas))
    rolling.write()
