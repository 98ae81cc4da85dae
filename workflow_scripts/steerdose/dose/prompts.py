"""Prompt baselines: a system prompt steers too, and has no dose.

A prompt is measured as a steering is: greedy rollouts behind the system prompt, and at every token the KL against the
same model that reads the same tokens without the system prompt.
"""

import logging
from typing import Any

from steerdose.dose.kl_statistics import kl_statistics, write_evaluations
from steerdose.engine.generate import Request, roll_out
from steerdose.files import write_json
from steerdose.model import chat
from steerdose.model.loading import load_model
from steerdose.study.texts import load_prompts, load_system_prompts, take

log = logging.getLogger(__name__)


def prompt_request(tokenizer: Any, prompt_id: str, user: str, system: str | None, label: str = "") -> Request:
    """Return the request of a user message behind a system text; its base reads the message alone."""
    plain = tuple(chat.prompt_ids(tokenizer, chat.conversation(user)))
    if system is None:
        return Request(prompt_id, plain, 0.0, label)
    return Request(prompt_id, tuple(chat.prompt_ids(tokenizer, chat.conversation(user, system))), 0.0, label, plain)


def measure_prompt(
    *,
    model: str,
    prompts: str,
    system_prompts: str,
    cell: dict[str, Any],
    settings: dict[str, Any],
    table: str,
    summary: str,
) -> None:
    """Measure the KL statistics of both signs' system prompts on the calibration and the audit prompts.

    Writes calibration/{method}.parquet and calibration/{method}.json with the columns and keys of `calibrate_alpha`'s;
    what only a dose has (coefficient, target, tolerance, c_star, converged, bracket, negative_is_opposite) is null.
    """
    loaded = load_model(model, dtype=settings["dtype"], device=settings["device"])
    texts = load_system_prompts(system_prompts)[cell["behavior"]][settings["style"]]
    every, sizes = load_prompts(prompts), {"calibration": settings["n_prompts"], "audit": settings["n_audit_prompts"]}
    rows: list[dict[str, Any]] = []
    report: dict[str, Any] = {"statistic": settings["statistic"]}
    report |= dict.fromkeys(("target", "tolerance", "negative_is_opposite"))
    for sign in ("positive", "negative"):
        found = {}
        for split, count in sizes.items():
            chosen = take(every, split, count)
            rollouts = roll_out(
                loaded.model,
                None,
                [prompt_request(loaded.tokenizer, p.id, p.prompt, texts[sign], f"({sign} prompt)") for p in chosen],
                window=settings["max_new_tokens"],
                end_ids=chat.end_ids(loaded.tokenizer, loaded.model.generation_config),
                batch_size=settings["batch_size"],
                description=f"{split} {sign}",
            )
            statistics = kl_statistics([value for rollout in rollouts for value in rollout.kl])
            rows.append({"coefficient": None, "sign": sign, "split": split, "step": 1, **statistics})
            found[split] = statistics[settings["statistic"]]
            log.info("%s %s: %s %.4g", split, sign, settings["statistic"], found[split])
        report[sign] = {
            "c_star": None,
            "statistic": found["calibration"],
            "target": None,
            "converged": None,
            "reason": "a prompt has no dose",
            "evaluations": 1,
            "bracket": None,
            "audit": found["audit"],
        }
    write_evaluations(rows, dict.fromkeys(texts), cell, table)
    write_json(report, summary)
