"""Rollouts of the yes/no questions as tables: tokens, trajectories and forks; and the audit of the probe."""

import logging
from collections.abc import Sequence
from typing import Any

import polars as pl

from . import chat
from .data import Question, load_questions
from .errors import SteerdoseError
from .fork_grid import fork_times
from .models import LoadedModel, load_model
from .probe import Probe, build_probe
from .rollout import Request, Rollout, roll_out
from .steering import Steering
from .tables import read_json, write_json, write_table

log = logging.getLogger(__name__)

ROW_TYPES: dict[str, dict[str, type[pl.DataType]]] = {
    "tokens": {"t": pl.Int32, "token_id": pl.Int32, "kl": pl.Float32},
    "trajectories": {"n_tokens": pl.Int32, "ended": pl.Boolean, "text": pl.String},
    "forks": {"t": pl.Int32, "pmass": pl.Float64, "p_first": pl.Float64, "argmax": pl.String},
}
KEY_TYPES = {"alpha": pl.Float64, "coefficient": pl.Float64, "prompt_id": pl.String}


def question_ids(tokenizer: Any, question: Question, template: str) -> tuple[int, ...]:
    """Return the prompt's ids; `template` holds {question}."""
    return tuple(chat.prompt_ids(tokenizer, chat.conversation(template.replace("{question}", question.question))))


def probe_from(tokenizer: Any, settings: dict[str, Any]) -> Probe:
    """Build the probe of a rule's settings."""
    entry = settings["probe"]
    return build_probe(tokenizer, entry["kind"], entry["prefill"], entry["answers"], entry["question"])


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
    """Roll requests out over the window of a rule's settings, with the probe at its forks."""
    return roll_out(
        loaded.model,
        steering,
        requests,
        window=settings["window"],
        end_ids=chat.end_ids(loaded.tokenizer, loaded.model.generation_config),
        batch_size=settings["batch_size"],
        probe=probe_from(loaded.tokenizer, settings),
        times=fork_times(settings["window"], **settings["forks"]),
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
        rows["forks"] += [(*key, f.t, f.pmass, f.p_first, tokenizer.decode([f.argmax])) for f in rollout.forks]
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
    for name, path in (("tokens", tokens), ("trajectories", trajectories), ("forks", forks)):
        write_table(frames[name], path)


def audit_probe(
    *, model: str, questions: str, cell: dict[str, Any], settings: dict[str, Any], summary: str, forks: str
) -> None:
    """Measure the probe on the unsteered model, on the questions of the rollouts; refuse a probe that it fails.

    Writes the forks and a summary with the median pmass over all prompts and forks.
    """
    loaded = load_model(model, dtype=settings["dtype"], device=settings["device"])
    chosen = load_questions(questions)[: settings["n_questions"]]
    planned, rollouts = roll_questions(loaded, None, chosen, [(0.0, 0.0)], settings)
    empty = [
        request.prompt_id for (_, request), rollout in zip(planned, rollouts, strict=True) if not rollout.token_ids
    ]
    if empty:
        raise SteerdoseError(
            f"the unsteered model gives an empty answer to {empty[:5]} ({len(empty)} of {len(planned)}): check "
            "rollout.template, and models.<name>.chat_template against the model's own documentation"
        )
    frame = to_tables(loaded.tokenizer, planned, rollouts, cell)["forks"]
    median = float(frame.select(pl.col("pmass").median()).item())
    log.info("median pmass of the unsteered model: %.4f over %d forks", median, len(frame))
    if median < settings["minimum_base_pmass"]:
        likely = ", ".join(
            f"'{token}' {n}x" for token, n in frame["argmax"].value_counts(sort=True).head(5).iter_rows()
        )
        raise SteerdoseError(
            f"the unsteered model fails the probe: its median pmass on {settings['probe']['answers']} is {median:.4f}, "
            f"probe.minimum_base_pmass is {settings['minimum_base_pmass']}. The most likely next tokens are {likely}. "
            "Change probe.question, probe.prefill or probe.answers so that the model answers with one of them, or try "
            "the other probe.kind (interrupt, splice)"
        )
    write_table(frame, forks)
    write_json({"median_pmass": median, "n_forks": len(frame), "n_questions": len(chosen)}, summary)


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
