"""The dose of a steering: its KL statistic over rollouts, and the coefficient at which that meets the target.

A prompt steers too, and has no dose. It is measured as a steering is: at every token of greedy rollouts behind its
system text the KL against the same model that reads the same tokens without that text.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from steerdose.dose.kl_statistics import STATISTICS, kl_statistics, write_evaluations
from steerdose.dose.search import Calibration, find_dose
from steerdose.engine.generate import generate
from steerdose.engine.requests import ask
from steerdose.errors import NonFiniteLogitsError, NoTokensError, SteerdoseError
from steerdose.files import read_json, write_json
from steerdose.model import chat
from steerdose.model.loading import LoadedModel, load_model
from steerdose.steering.intervention import SIGNS, Intervention, prompted_at
from steerdose.steering.self_test import check_steering
from steerdose.steering.steering import Steering
from steerdose.study.texts import Prompt, load_prompts, load_system_prompts, take

log = logging.getLogger(__name__)


class _Meter:
    """Measures the statistics of interventions on rollouts, and keeps a row for every evaluation."""

    def __init__(self, loaded: LoadedModel, settings: dict[str, Any]) -> None:
        self.loaded, self.settings = loaded, settings
        self.rows: list[dict[str, Any]] = []

    def measure(self, prompts: Sequence[Prompt], sign: str, split: str, intervention: Intervention) -> float:
        trajectories = generate(
            self.loaded,
            [ask(self.loaded.tokenizer, p.id, p.prompt, intervention) for p in prompts],
            window=self.settings["max_new_tokens"],
            batch_size=self.settings["batch_size"],
            description=f"{split} {sign} {intervention.coefficient:.4g}",
        )
        statistics = kl_statistics([value for trajectory in trajectories for value in trajectory.kl])
        place = self._place(sign, split, intervention)
        self.rows.append({**place, **statistics})
        value = float(statistics[self.settings["statistic"]])
        what = "the prompt" if intervention.system else f"coefficient {intervention.coefficient:.5g}"
        log.info("%s %s step %d: %s gives %.4g", split, sign, place["step"], what, value)
        return value

    def measure_or_inf(self, prompts: Sequence[Prompt], sign: str, split: str, intervention: Intervention) -> float:
        """Measure; where logits overflow or all rollouts are empty return infinity, with a row without statistics."""
        try:
            return self.measure(prompts, sign, split, intervention)
        except (NonFiniteLogitsError, NoTokensError) as error:
            log.warning("coefficient %.5g is far too strong: %s", intervention.coefficient, error)
            place = self._place(sign, split, intervention)
            self.rows.append({**place, **dict.fromkeys((*STATISTICS, "n_tokens"))})
            return math.inf

    def _place(self, sign: str, split: str, intervention: Intervention) -> dict[str, Any]:
        step = 1 + sum(row["sign"] == sign and row["split"] == split for row in self.rows)
        return {"coefficient": intervention.tabled_coefficient, "sign": sign, "split": split, "step": step}


def prompt_targets(reference: str) -> dict[str, float]:
    """Return each sign's statistic (nats) from a prompt's calibration/{method}.json, to be the target of a dose."""
    targets = {sign: float(read_json(reference)[sign]["statistic"]) for sign in SIGNS}
    for sign, target in targets.items():
        if target <= 0:
            raise SteerdoseError(
                f"the {sign} prompt measured in {reference} does not move the model (its KL statistic is 0), so no "
                "dose is equal to it: give calibration.target in nats, or change its text in data.system_prompts"
            )
    return targets


def calibrate_alpha(
    *,
    model: str,
    steering: str,
    prompts: str,
    cell: dict[str, Any],
    settings: dict[str, Any],
    table: str,
    summary: str,
    reference: str | None = None,
) -> None:
    """Self-test the steering, find c_star for both signs, audit it on held-out prompts.

    reference: where settings["target"] is not in nats but names a prompt, that prompt's calibration/{method}.json.
    Writes calibration/{method}.parquet, one row an evaluation (null statistics: steered logits overflow, or every
    rollout is empty), and calibration/{method}.json. There `audit` is null for the same reasons, and
    `negative_is_opposite` is false where an edit at -c is not the opposite of c (see `Edit.opposite`): the negative
    sign then has a dose of its own, but not the reverse meaning.
    """
    loaded = load_model(model, dtype=settings["dtype"], device=settings["device"])
    vector = Steering.load(steering)
    chosen, held = _splits(prompts, settings)
    check_steering(loaded.model, vector, chat.prompt_ids(loaded.tokenizer, chat.conversation(chosen[0].prompt)))
    meter = _Meter(loaded, settings)
    targets = prompt_targets(reference) if reference else dict.fromkeys(SIGNS, float(settings["target"]))
    report: dict[str, Any] = {key: settings[key] for key in ("statistic", "target", "tolerance")}
    report["negative_is_opposite"] = all(edit.opposite for _, edit in vector.edits)
    for sign, direction in SIGNS.items():

        def statistic(dose: float, sign: str = sign, direction: float = direction) -> float:
            return meter.measure_or_inf(chosen, sign, "calibration", Intervention(vector, direction * dose))

        found: Calibration = find_dose(
            statistic, targets[sign], tolerance=settings["tolerance"], max_evaluations=settings["max_evaluations"]
        )
        log.info("%s: c_star %.5g, %s", sign, found.c_star, found.reason)
        audit = meter.measure_or_inf(held, sign, "audit", Intervention(vector, direction * found.c_star))
        report[sign] = {**asdict(found), "audit": audit if math.isfinite(audit) else None}
    write_evaluations(meter.rows, targets, cell, table)
    write_json(report, summary)


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
    chosen, held = _splits(prompts, settings)
    meter = _Meter(loaded, settings)
    report: dict[str, Any] = {"statistic": settings["statistic"]}
    report |= dict.fromkeys(("target", "tolerance", "negative_is_opposite"))
    for sign, intervention in zip(SIGNS, prompted_at(list(SIGNS.values()), texts), strict=True):
        report[sign] = {
            "c_star": None,
            "statistic": meter.measure(chosen, sign, "calibration", intervention),
            "target": None,
            "converged": None,
            "reason": "a prompt has no dose",
            "evaluations": 1,
            "bracket": None,
            "audit": meter.measure(held, sign, "audit", intervention),
        }
    write_evaluations(meter.rows, dict.fromkeys(SIGNS), cell, table)
    write_json(report, summary)


def _splits(prompts: str, settings: dict[str, Any]) -> tuple[list[Prompt], list[Prompt]]:
    """Return the prompts that set a dose, and those that audit it."""
    every = load_prompts(prompts)
    return take(every, "calibration", settings["n_prompts"]), take(every, "audit", settings["n_audit_prompts"])
