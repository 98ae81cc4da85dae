"""Rollouts of the yes/no questions as tables: tokens, trajectories and forks."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from steerdose.declarations.passed import FORKS, TOKENS, TRAJECTORIES
from steerdose.engine.fork_grid import fork_times
from steerdose.engine.generate import Request, Rollout, roll_out
from steerdose.engine.probe import ForkPlan, build_probe
from steerdose.files import read_json, write_table
from steerdose.model import chat
from steerdose.model.loading import LoadedModel, load_model
from steerdose.steering.steering import Steering
from steerdose.study.texts import Question, load_questions

ROW_TYPES: dict[str, dict[str, type[pl.DataType]]] = {
    "tokens": {"t": pl.Int32, "token_id": pl.Int32, "kl": pl.Float32},
    "trajectories": {"n_tokens": pl.Int32, "ended": pl.Boolean, "text": pl.String},
    "forks": {
        **{"probe": pl.String, "reading": pl.String},
        **{"t": pl.Int32, "pmass": pl.Float64, "p_first": pl.Float64, "argmax": pl.String},
    },
}
KEY_TYPES = {"alpha": pl.Float64, "coefficient": pl.Float64, "prompt_id": pl.String}


def question_ids(tokenizer: Any, question: Question, template: str) -> tuple[int, ...]:
    """Return the prompt's ids; `template` holds {question}."""
    return tuple(chat.prompt_ids(tokenizer, chat.conversation(template.replace("{question}", question.question))))


def fork_plan(tokenizer: Any, settings: dict[str, Any]) -> ForkPlan:
    """Build the probes of a rule's settings, to be read at its forks."""
    probes = {name: build_probe(tokenizer, name=name, **entry) for name, entry in settings["probes"].items()}
    return ForkPlan(probes, fork_times(settings["window"], **settings["forks"]), settings["readings"])


def coefficient_of(alpha: float, calibration: dict[str, Any]) -> float:
    """Return alpha times the c_star of its sign."""
    return alpha * calibration["negative" if alpha < 0 else "positive"]["c_star"]


def roll_questions(
    loaded: LoadedModel,
    steering: Steering | None,
    questions: Sequence[Question],
    doses: Sequence[tuple[float, float]],
    settings: dict[str, Any],
) -> tuple[list[tuple[float, Request]], list[Rollout]]:
    """Roll every question out at every dose (alpha, coefficient), with forks; return (alpha, request) and rollouts."""
    planned = [
        (alpha, Request(q.id, question_ids(loaded.tokenizer, q, settings["template"]), c, f"(alpha {alpha:g})"))
        for q in questions
        for alpha, c in doses
    ]
    return planned, roll_with_forks(loaded, steering, [request for _, request in planned], settings)


def roll_with_forks(
    loaded: LoadedModel, steering: Steering | None, requests: Sequence[Request], settings: dict[str, Any]
) -> list[Rollout]:
    """Roll requests out over the window of a rule's settings, with the probes at its forks."""
    return roll_out(
        loaded.model,
        steering,
        requests,
        window=settings["window"],
        end_ids=chat.end_ids(loaded.tokenizer, loaded.model.generation_config),
        batch_size=settings["batch_size"],
        plan=fork_plan(loaded.tokenizer, settings),
    )


def to_tables(
    tokenizer: Any, planned: Sequence[tuple[float, Request]], rollouts: Sequence[Rollout], cell: dict[str, Any]
) -> dict[str, pl.DataFrame]:
    """Return the frames of ROW_TYPES, with the key columns first; a prompt's coefficient is null."""
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in ROW_TYPES}
    for (alpha, request), rollout in zip(planned, rollouts, strict=True):
        key = (alpha, None if request.base_ids is not None else request.coefficient, request.prompt_id)
        tokens = zip(rollout.token_ids, rollout.kl, strict=True)
        rows["tokens"] += [(*key, t, token, kl) for t, (token, kl) in enumerate(tokens, start=1)]
        text = tokenizer.decode(rollout.token_ids)
        rows["trajectories"].append((*key, len(rollout.token_ids), rollout.ended, text))
        rows["forks"] += [
            (*key, f.probe, f.reading, f.t, f.pmass, f.p_first, tokenizer.decode([f.argmax])) for f in rollout.forks
        ]
    labels = [pl.lit(value).alias(name) for name, value in cell.items()]
    return {
        name: pl.DataFrame(rows[name], schema={**KEY_TYPES, **types}, orient="row").with_columns(labels)
        for name, types in ROW_TYPES.items()
    }


def write_rollouts(
    tokenizer: Any,
    planned: Sequence[tuple[float, Request]],
    rollouts: Sequence[Rollout],
    cell: dict[str, Any],
    tokens: str,
    trajectories: str,
    forks: str,
) -> None:
    """Write the frames of `to_tables`."""
    frames = to_tables(tokenizer, planned, rollouts, cell)
    for table, path in ((TOKENS, tokens), (TRAJECTORIES, trajectories), (FORKS, forks)):
        write_table(frames[table.name], path, table)


def rollout_trajectories(
    *,
    model: str,
    steering: str,
    calibration: str,
    questions: str,
    cell: dict[str, Any],
    settings: dict[str, Any],
    tokens: str,
    trajectories: str,
    forks: str,
) -> None:
    """Roll all questions out at all alphas of a method, in shared batches, and write the three tables."""
    loaded = load_model(model, dtype=settings["dtype"], device=settings["device"])
    found = read_json(calibration)
    chosen = load_questions(questions)[: settings["n_questions"]]
    doses = [(alpha, coefficient_of(alpha, found)) for alpha in settings["alphas"]]
    planned, rollouts = roll_questions(loaded, Steering.load(steering), chosen, doses, settings)
    write_rollouts(loaded.tokenizer, planned, rollouts, cell, tokens, trajectories, forks)
