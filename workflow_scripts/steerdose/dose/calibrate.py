"""The dose of a steering: its KL statistic over rollouts, and the coefficient at which that meets the target.

A prompt steers too, and has no dose. It is measured as a steering is: at every token of greedy rollouts behind its
system text the KL against the same model that reads the same tokens without that text.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from steerdose.columns import SIGNS, Cell
from steerdose.declarations.dose import DOSES, SEARCH
from steerdose.dose.doses import doses_table
from steerdose.dose.error import dose_interval, log_slope
from steerdose.dose.kl_statistics import evaluations
from steerdose.dose.meter import Meter
from steerdose.dose.relative import last_edited, relative_dose
from steerdose.dose.search import NOISE, Calibration, find_dose
from steerdose.dose.subjects import system_texts
from steerdose.errors import NonFiniteLogitsError, SteerdoseError
from steerdose.files import read_json, write_json, write_table
from steerdose.model import chat
from steerdose.model.loading import load_model
from steerdose.steering.intervention import Intervention, prompted_at
from steerdose.steering.self_test import check_steering
from steerdose.steering.steering import Steering
from steerdose.study.config import Calibration as Options
from steerdose.study.kind import PromptTarget, Target
from steerdose.study.settings import CalibrateAlpha, Subject
from steerdose.study.texts import load_prompts, take

log = logging.getLogger(__name__)
NO_DOSE = (
    "c_star", "c_star_low", "c_star_high", "evaluated", "target", "converged", "bracket", "relative_dose",
    "relative_dose_by_block",
)  # fmt: skip


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
    meter: Meter, steering: Steering, subject: Subject, nats: dict[str, float], options: Options
) -> dict[str, Any]:
    """Self-test a steering and return the calibration of both signs, without its audit.

    `negative_is_opposite` is false where an edit at -c is not the opposite of c (see `Edit.opposite`): the negative
    sign then has a dose of its own, but not the reverse meaning.
    """
    first = chat.prompt_ids(meter.loaded.tokenizer, chat.conversation(meter.few[0].prompt))
    check_steering(meter.loaded.model, steering, first)
    target = subject.target
    shown = target.model_dump() if isinstance(target, PromptTarget) else target
    report: dict[str, Any] = {"statistic": options.statistic, "target": shown, "tolerance": options.tolerance}
    report["positions"] = subject.positions
    report["negative_is_opposite"] = all(edit.opposite for _, edit in steering.edits)
    for sign, direction in SIGNS.items():

        def statistic(dose: float, sign: str = sign, direction: float = direction) -> float:
            return meter.search(sign, Intervention(steering, direction * dose, positions=subject.positions))

        found = find_dose(statistic, nats[sign], tolerance=options.tolerance, max_evaluations=options.max_evaluations)
        searched = Intervention(steering, direction * found.c_star, positions=subject.positions)
        report[sign] = last_step(meter, sign, searched, found)
        along = relative_dose(meter.loaded, meter.few, steering, direction * report[sign]["c_star"])
        report[sign] |= {"relative_dose": along and along[last_edited(meter.loaded.model, steering)]}
        report[sign] |= {"relative_dose_by_block": along}
    return report


def last_step(meter: Meter, sign: str, searched: Intervention, found: Calibration) -> dict[str, Any]:
    """Measure what a search found on all prompts, and go the last step to the target from there.

    The step follows the slope of the search's curve; it is small, since the search ends within its tolerance on the
    first prompts, and is left out where that did not. `statistic`: of all prompts, at `evaluated`, |coefficient| before
    the step.
    """
    report = {**asdict(found), "evaluated": found.c_star, "c_star_low": None, "c_star_high": None}
    try:
        value, kl = meter.whole(sign, searched)
    except NonFiniteLogitsError as error:
        log.warning("coefficient %.5g is too strong on some of the prompts: %s", searched.coefficient, error)
        return report | {"converged": False, "reason": "too strong on prompts that the search did not see"}
    slope = log_slope(meter.values(sign), found.c_star)
    stepped = found.c_star * (found.target / max(value, NOISE)) ** (1 / slope)
    low, high = dose_interval(kl, meter.options.statistic, found.target, found.c_star, slope)
    c_star = stepped if found.converged else found.c_star
    log.info("%s: c_star %.5g [%.5g, %.5g], %s", sign, c_star, low, high, found.reason)
    return report | {"c_star": c_star, "statistic": value, "c_star_low": low, "c_star_high": high}


def measure_prompts(meter: Meter, texts: dict[str, str], statistic: str) -> dict[str, Any]:
    """Return the same of a prompt's texts, by sign; what only a dose has is null."""
    report: dict[str, Any] = {"statistic": statistic}
    report |= dict.fromkeys(("target", "tolerance", "positions", "negative_is_opposite"))
    for sign, intervention in zip(SIGNS, prompted_at(list(SIGNS.values()), texts), strict=True):
        report[sign] = {
            **dict.fromkeys(NO_DOSE),
            "statistic": meter.whole(sign, intervention)[0],
            "reason": "a prompt has no dose",
            "evaluations": 1,
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
    doses: str,
) -> None:
    """Find c_star of both signs for every method of a job, with one loaded model.

    Writes {job}.search.parquet, one row an evaluation (null statistics: steered logits overflow, or every rollout is
    empty), {job}.search.json, by method what `search_doses` or `measure_prompts` returns, and {job}.doses.parquet, the
    doses in it.
    """
    loaded, options = load_model(model, settings.run), settings.calibration
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
            reports[name] = search_doses(meter, vector, subject, targets, options)
        nats = {sign: reports[name][sign]["target"] for sign in SIGNS}
        frames.append(evaluations(meter.rows, nats, cell.of(name)))
    write_table(pl.concat(frames), table, SEARCH)
    write_json(reports, summary)
    write_table(doses_table(reports, cell), doses, DOSES)
