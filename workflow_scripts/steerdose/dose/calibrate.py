"""The dose of a steering: its KL statistic over rollouts, and the coefficient at which that meets the target."""

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from steerdose.dose.kl_statistics import STATISTICS, kl_statistics, write_evaluations
from steerdose.dose.search import Calibration, find_dose
from steerdose.engine.generate import Request, roll_out
from steerdose.errors import NonFiniteLogitsError, NoTokensError, SteerdoseError
from steerdose.files import read_json, write_json
from steerdose.model import chat
from steerdose.model.loading import LoadedModel, load_model
from steerdose.steering.intervention import SIGNS
from steerdose.steering.self_test import check_steering
from steerdose.steering.steering import Steering
from steerdose.study.texts import Prompt, load_prompts, take

log = logging.getLogger(__name__)


class _Meter:
    """Measures the statistics of one steering on rollouts, and keeps a row for every evaluation."""

    def __init__(self, loaded: LoadedModel, steering: Steering, settings: dict[str, Any]) -> None:
        self.loaded, self.steering, self.settings = loaded, steering, settings
        self.end_ids = chat.end_ids(loaded.tokenizer, loaded.model.generation_config)
        self.rows: list[dict[str, Any]] = []

    def measure(self, prompts: Sequence[Prompt], sign: str, dose: float, split: str) -> float:
        coefficient = SIGNS[sign] * dose
        requests = [
            Request(p.id, tuple(chat.prompt_ids(self.loaded.tokenizer, chat.conversation(p.prompt))), coefficient)
            for p in prompts
        ]
        rollouts = roll_out(
            self.loaded.model,
            self.steering,
            requests,
            window=self.settings["max_new_tokens"],
            end_ids=self.end_ids,
            batch_size=self.settings["batch_size"],
            description=f"{split} {sign} {dose:.4g}",
        )
        statistics = kl_statistics([value for rollout in rollouts for value in rollout.kl])
        step = self._step(sign, split)
        self.rows.append({"coefficient": coefficient, "sign": sign, "split": split, "step": step, **statistics})
        value = float(statistics[self.settings["statistic"]])
        log.info("%s %s step %d: coefficient %.5g gives %.4g", split, sign, step, coefficient, value)
        return value

    def measure_or_inf(self, prompts: Sequence[Prompt], sign: str, dose: float, split: str) -> float:
        """Measure; where logits overflow or all rollouts are empty return infinity, with a row without statistics."""
        try:
            return self.measure(prompts, sign, dose, split)
        except (NonFiniteLogitsError, NoTokensError) as error:
            log.warning("coefficient %.5g is far too strong: %s", SIGNS[sign] * dose, error)
            place = {"coefficient": SIGNS[sign] * dose, "sign": sign, "split": split, "step": self._step(sign, split)}
            self.rows.append({**place, **dict.fromkeys((*STATISTICS, "n_tokens"))})
            return math.inf

    def _step(self, sign: str, split: str) -> int:
        return 1 + sum(row["sign"] == sign and row["split"] == split for row in self.rows)


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
    every = load_prompts(prompts)
    chosen = take(every, "calibration", settings["n_prompts"])
    held = take(every, "audit", settings["n_audit_prompts"])
    check_steering(loaded.model, vector, chat.prompt_ids(loaded.tokenizer, chat.conversation(chosen[0].prompt)))
    meter = _Meter(loaded, vector, settings)
    targets = prompt_targets(reference) if reference else dict.fromkeys(SIGNS, float(settings["target"]))
    report: dict[str, Any] = {key: settings[key] for key in ("statistic", "target", "tolerance")}
    report["negative_is_opposite"] = all(edit.opposite for _, edit in vector.edits)
    for sign in SIGNS:
        found: Calibration = find_dose(
            lambda dose, sign=sign: meter.measure_or_inf(chosen, sign, dose, "calibration"),  # type: ignore[misc]
            targets[sign],
            tolerance=settings["tolerance"],
            max_evaluations=settings["max_evaluations"],
        )
        log.info("%s: c_star %.5g, %s", sign, found.c_star, found.reason)
        audit = meter.measure_or_inf(held, sign, found.c_star, "audit")
        report[sign] = {**asdict(found), "audit": audit if math.isfinite(audit) else None}
    write_evaluations(meter.rows, targets, cell, table)
    write_json(report, summary)
