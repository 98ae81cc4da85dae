"""The dose of a steering: its KL statistic over rollouts, and the coefficient at which that meets the target.

A prompt steers too, and has no dose. It is measured as a steering is: at every token of greedy rollouts behind its
system text the KL against the same model that reads the same tokens without that text.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from steerdose.columns import SIGNS, Cell
from steerdose.declarations.passed import SEARCH
from steerdose.dose.error import dose_interval, log_slope
from steerdose.dose.kl_statistics import STATISTICS, evaluations, kl_statistics
from steerdose.dose.search import find_dose
from steerdose.dose.subjects import system_texts
from steerdose.engine.generate import generate
from steerdose.engine.requests import ask
from steerdose.errors import NonFiniteLogitsError, NoTokensError, SteerdoseError
from steerdose.files import read_json, write_json, write_table
from steerdose.model import chat
from steerdose.model.loading import LoadedModel, load_model
from steerdose.steering.intervention import Intervention, prompted_at
from steerdose.steering.self_test import check_steering
from steerdose.steering.steering import Steering
from steerdose.study.config import Calibration, Measure
from steerdose.study.kind import PromptTarget, Target
from steerdose.study.settings import CalibrateAlpha
from steerdose.study.texts import Prompt, load_prompts, take

log = logging.getLogger(__name__)


def measured_kl(
    loaded: LoadedModel, prompts: Sequence[Prompt], intervention: Intervention, measure: Measure, description: str
) -> list[list[float]]:
    """Return the KL (nats) of every token of greedy rollouts, (prompts, tokens).

    Raises NonFiniteLogitsError where the intervention is too strong for the model's arithmetic.
    """
    trajectories = generate(
        loaded,
        [ask(loaded.tokenizer, prompt.id, prompt.prompt, intervention) for prompt in prompts],
        window=measure.max_new_tokens,
        batch_size=measure.batch_size,
        description=description,
    )
    return [trajectory.kl for trajectory in trajectories]


class Meter:
    """Measures the statistics of interventions on the calibration prompts, and keeps a row for every evaluation."""

    def __init__(self, loaded: LoadedModel, prompts: Sequence[Prompt], measure: Measure) -> None:
        self.loaded, self.prompts, self.options = loaded, prompts, measure
        self.rows: list[dict[str, Any]] = []
        self.kl: dict[tuple[str, float], list[list[float]]] = {}  # of the tokens, by sign and coefficient

    def measure(self, sign: str, intervention: Intervention) -> float:
        kl = measured_kl(
            self.loaded, self.prompts, intervention, self.options, f"{sign} {intervention.coefficient:.4g}"
        )
        statistics = kl_statistics([value for values in kl for value in values])
        self.kl[sign, intervention.coefficient] = kl
        row = self._row(sign, intervention, statistics)
        value = float(statistics[self.options.statistic])
        what = "the prompt" if intervention.system else f"coefficient {intervention.coefficient:.5g}"
        log.info("%s step %d: %s gives %.4g", sign, row["step"], what, value)
        return value

    def measure_or_inf(self, sign: str, intervention: Intervention) -> float:
        """Measure; where logits overflow or all rollouts are empty return infinity, with a row without statistics."""
        try:
            return self.measure(sign, intervention)
        except (NonFiniteLogitsError, NoTokensError) as error:
            log.warning("coefficient %.5g is far too strong: %s", intervention.coefficient, error)
            self._row(sign, intervention, dict.fromkeys((*STATISTICS, "n_tokens")))
            return math.inf

    def interval(self, sign: str, coefficient: float, target: float) -> tuple[float | None, float | None]:
        """Return the bounds of a sign's c_star, from the tokens at the coefficient that came closest to the target."""
        if (sign, coefficient) not in self.kl:
            return None, None
        options = self.options.statistic
        known = {
            abs(row["coefficient"]): row[options] if row[options] is not None else math.inf
            for row in self.rows
            if row["sign"] == sign
        }
        slope = log_slope(known, abs(coefficient))
        return dose_interval(self.kl[sign, coefficient], options, target, abs(coefficient), slope)

    def _row(self, sign: str, intervention: Intervention, statistics: dict[str, Any]) -> dict[str, Any]:
        step = 1 + sum(row["sign"] == sign for row in self.rows)
        place = {"coefficient": intervention.tabled_coefficient, "sign": sign, "split": "calibration", "step": step}
        self.rows.append({**place, **statistics})
        return self.rows[-1]


def target_in_nats(target: Target | None, references: Sequence[str]) -> dict[str, float]:
    """Return the target of each sign. references: calibration/{prompt}.json of the prompts that targets name."""
    if not isinstance(target, PromptTarget):
        return dict.fromkeys(SIGNS, float(target or 0))
    reference = next(path for path in references if Path(path).stem == target.prompt)
    targets = {sign: float(read_json(reference)[sign]["statistic"]) for sign in SIGNS}
    for sign, nats in targets.items():
        if nats <= 0:
            raise SteerdoseError(
                f"the {sign} prompt measured in {reference} does not move the model (its KL statistic is 0), so no "
                "dose is equal to it: give calibration.target in nats, or change its text in data.system_prompts"
            )
    return targets


def search_doses(
    meter: Meter, steering: Steering, target: Target | None, nats: dict[str, float], options: Calibration
) -> dict[str, Any]:
    """Self-test a steering and return the calibration of both signs, without its audit.

    `negative_is_opposite` is false where an edit at -c is not the opposite of c (see `Edit.opposite`): the negative
    sign then has a dose of its own, but not the reverse meaning.
    """
    first = chat.prompt_ids(meter.loaded.tokenizer, chat.conversation(meter.prompts[0].prompt))
    check_steering(meter.loaded.model, steering, first)
    shown = target.model_dump() if isinstance(target, PromptTarget) else target
    report: dict[str, Any] = {"statistic": options.statistic, "target": shown, "tolerance": options.tolerance}
    report["negative_is_opposite"] = all(edit.opposite for _, edit in steering.edits)
    for sign, direction in SIGNS.items():

        def statistic(dose: float, sign: str = sign, direction: float = direction) -> float:
            return meter.measure_or_inf(sign, Intervention(steering, direction * dose))

        found = find_dose(statistic, nats[sign], tolerance=options.tolerance, max_evaluations=options.max_evaluations)
        low, high = meter.interval(sign, direction * found.c_star, nats[sign])
        log.info("%s: c_star %.5g [%s, %s], %s", sign, found.c_star, low, high, found.reason)
        report[sign] = {**asdict(found), "c_star_low": low, "c_star_high": high}
    return report


def measure_prompts(meter: Meter, texts: dict[str, str], statistic: str) -> dict[str, Any]:
    """Return the same of a prompt's texts, by sign; what only a dose has is null."""
    report: dict[str, Any] = {"statistic": statistic}
    report |= dict.fromkeys(("target", "tolerance", "negative_is_opposite"))
    for sign, intervention in zip(SIGNS, prompted_at(list(SIGNS.values()), texts), strict=True):
        report[sign] = {
            "c_star": None,
            "c_star_low": None,
            "c_star_high": None,
            "statistic": meter.measure(sign, intervention),
            "target": None,
            "converged": None,
            "reason": "a prompt has no dose",
            "evaluations": 1,
            "bracket": None,
        }
    return report


def calibrate_alpha(
    *,
    model: str,
    steering: list[str],
    prompts: str,
    system_prompts: list[str],
    references: list[str],
    cell: Cell,
    settings: CalibrateAlpha,
    table: str,
    summary: str,
) -> None:
    """Find c_star of both signs for every method of a job, with one loaded model.

    Writes {job}.search.parquet, one row an evaluation (null statistics: steered logits overflow, or every rollout is
    empty), and {job}.search.json, by method what `search_doses` or `measure_prompts` returns.
    """
    loaded, options = load_model(model, dtype=settings.run.dtype, device=settings.run.device), settings.calibration
    chosen = take(load_prompts(prompts), "calibration", options.n_prompts)
    reports, frames = {}, []
    for name, subject in settings.methods.items():
        meter = Meter(loaded, chosen, options)
        if subject.style:
            texts = system_texts(subject, system_prompts, cell.behavior)
            reports[name] = measure_prompts(meter, texts, options.statistic)
        else:
            targets = target_in_nats(subject.target, references)
            vector = Steering.load(steering[0]).member(name)
            reports[name] = search_doses(meter, vector, subject.target, targets, options)
        nats = {sign: reports[name][sign]["target"] for sign in SIGNS}
        frames.append(evaluations(meter.rows, nats, cell.of(name)))
    write_table(pl.concat(frames), table, SEARCH)
    write_json(reports, summary)
