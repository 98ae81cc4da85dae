"""The dose on prompts that did not set it: the KL of every token, a part of the prompts a job."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from steerdose.columns import SIGNS, Cell
from steerdose.declarations.dose import AUDIT_TOKENS
from steerdose.dose.meter import measured_kl
from steerdose.dose.subjects import system_texts
from steerdose.errors import NonFiniteLogitsError
from steerdose.files import read_json, write_table
from steerdose.model.loading import LoadedModel, load_model
from steerdose.steering.intervention import Intervention, prompted_at
from steerdose.steering.steering import Steering
from steerdose.study.settings import AuditDose, Subject
from steerdose.study.texts import Prompt, load_prompts, take

log = logging.getLogger(__name__)

SCHEMA = {
    **{"sign": pl.String, "coefficient": pl.Float64, "prompt_id": pl.String},
    **{"t": pl.Int32, "kl": pl.Float64},
}


def audited(
    name: str, subject: Subject, found: Mapping[str, Any], steering: Sequence[str], texts: Mapping[str, str]
) -> dict[str, Intervention]:
    """Return a method's intervention at alpha 1 and -1, by sign. found: its entry of {job}.search.json."""
    if subject.style:
        return dict(zip(SIGNS, prompted_at(list(SIGNS.values()), texts), strict=True))
    vector = Steering.load(steering[0]).member(name)
    doses = {sign: direction * found[sign]["c_star"] for sign, direction in SIGNS.items()}
    return {sign: Intervention(vector, dose, positions=subject.positions) for sign, dose in doses.items()}


def audit_rows(
    loaded: LoadedModel, prompts: Sequence[Prompt], interventions: Mapping[str, Intervention], settings: AuditDose
) -> pl.DataFrame:
    """Return a row a token; where an intervention is too strong one row without t and kl says so."""
    rows: list[tuple[Any, ...]] = []
    for sign, intervention in interventions.items():
        place = (sign, intervention.tabled_coefficient)
        try:
            kl = measured_kl(loaded, prompts, intervention, settings.measure, f"audit {sign}")
        except NonFiniteLogitsError as error:
            log.warning("alpha %g is too strong to audit: %s", SIGNS[sign], error)
            rows.append((*place, None, None, None))
            continue
        for prompt, values in zip(prompts, kl, strict=True):
            rows += [(*place, prompt.id, t, value) for t, value in enumerate(values, start=1)]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def audit_dose(
    *,
    model: str,
    steering: list[str],
    search: list[str],
    prompts: str,
    system_prompts: list[str],
    cell: Cell,
    settings: AuditDose,
    tokens: str,
) -> None:
    """Write {job}.audit{part}.parquet: the KL of every token at dose 1 of both signs, of every method of the job."""
    loaded, found = load_model(model, settings.run), read_json(search[1])
    chosen = take(load_prompts(prompts), "audit", settings.last)[settings.first :]
    frames = []
    for name, subject in settings.methods.items():
        texts = system_texts(subject, system_prompts, cell.behavior) if subject.style else {}
        interventions = audited(name, subject, found[name], steering, texts)
        frames.append(audit_rows(loaded, chosen, interventions, settings).with_columns(cell.of(name).columns()))
    write_table(pl.concat(frames), tokens, AUDIT_TOKENS)
