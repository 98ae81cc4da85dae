"""Rollouts of the yes/no questions as tables: tokens, trajectories and forks."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from steerdose.engine.fork_grid import fork_times
from steerdose.engine.generate import generate
from steerdose.engine.probe import ForkPlan, build_probe
from steerdose.engine.requests import Request, Trajectory, ask
from steerdose.files import read_json, write_table
from steerdose.model.loading import LoadedModel, load_model
from steerdose.steering.intervention import Intervention, prompted_at, steered_at
from steerdose.steering.steering import Steering
from steerdose.study.texts import Question, load_questions, load_system_prompts

ROW_TYPES: dict[str, dict[str, type[pl.DataType]]] = {
    "tokens": {"t": pl.Int32, "token_id": pl.Int32, "kl": pl.Float32},
    "trajectories": {"n_tokens": pl.Int32, "ended": pl.Boolean, "text": pl.String},
    "forks": {
        **{"probe": pl.String, "reading": pl.String},
        **{"t": pl.Int32, "pmass": pl.Float64, "p_first": pl.Float64, "argmax": pl.String},
    },
}
KEY_TYPES = {"alpha": pl.Float64, "coefficient": pl.Float64, "prompt_id": pl.String}


def fork_plan(tokenizer: Any, settings: dict[str, Any]) -> ForkPlan:
    """Build the probes of a rule's settings, to be read at its forks."""
    probes = {name: build_probe(tokenizer, name=name, **entry) for name, entry in settings["probes"].items()}
    return ForkPlan(probes, fork_times(settings["window"], **settings["forks"]), settings["readings"])


def roll_questions(
    loaded: LoadedModel, questions: Sequence[Question], interventions: Sequence[Intervention], settings: dict[str, Any]
) -> tuple[list[Request], list[Trajectory]]:
    """Roll every question out under every intervention, with forks. The template of the settings holds {question}."""
    requests = [
        ask(loaded.tokenizer, q.id, settings["template"].replace("{question}", q.question), intervention)
        for q in questions
        for intervention in interventions
    ]
    plan = fork_plan(loaded.tokenizer, settings)
    return requests, generate(loaded, requests, window=settings["window"], batch_size=settings["batch_size"], plan=plan)


def to_tables(
    tokenizer: Any, requests: Sequence[Request], trajectories: Sequence[Trajectory], cell: dict[str, Any]
) -> dict[str, pl.DataFrame]:
    """Return the frames of ROW_TYPES, with the key columns first; a prompt's coefficient is null."""
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in ROW_TYPES}
    for request, trajectory in zip(requests, trajectories, strict=True):
        key = (request.intervention.alpha, request.intervention.tabled_coefficient, request.prompt_id)
        tokens = zip(trajectory.token_ids, trajectory.kl, strict=True)
        rows["tokens"] += [(*key, t, token, kl) for t, (token, kl) in enumerate(tokens, start=1)]
        text = tokenizer.decode(trajectory.token_ids)
        rows["trajectories"].append((*key, len(trajectory.token_ids), trajectory.ended, text))
        rows["forks"] += [
            (*key, f.probe, f.reading, f.t, f.pmass, f.p_first, tokenizer.decode([f.argmax])) for f in trajectory.forks
        ]
    labels = [pl.lit(value).alias(name) for name, value in cell.items()]
    return {
        name: pl.DataFrame(rows[name], schema={**KEY_TYPES, **types}, orient="row").with_columns(labels)
        for name, types in ROW_TYPES.items()
    }


def rollout_trajectories(
    *,
    model: str,
    questions: str,
    cell: dict[str, Any],
    settings: dict[str, Any],
    tokens: str,
    trajectories: str,
    forks: str,
    steering: str | None = None,
    calibration: str | None = None,
    system_prompts: str | None = None,
) -> None:
    """Roll all questions out at all alphas of a method, in shared batches, and write the three tables.

    The method is a steering with its calibration, or, where there is none, a prompt of settings["style"]: alpha 1 is
    its positive text, -1 the negative one, 0 none, and `kl` is against the model without the text.
    """
    loaded = load_model(model, dtype=settings["dtype"], device=settings["device"])
    if steering and calibration:
        interventions = steered_at(settings["alphas"], Steering.load(steering), read_json(calibration))
    else:
        texts = load_system_prompts(str(system_prompts))[cell["behavior"]][settings["style"]]
        interventions = prompted_at(settings["alphas"], texts)
    chosen = load_questions(questions)[: settings["n_questions"]]
    requests, found = roll_questions(loaded, chosen, interventions, settings)
    frames = to_tables(loaded.tokenizer, requests, found, cell)
    for name, path in (("tokens", tokens), ("trajectories", trajectories), ("forks", forks)):
        write_table(frames[name], path)
