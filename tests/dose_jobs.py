"""The jobs from a steering, or a prompt, to its calibration, called one after the other as the rules do."""

from steerdose.columns import Cell
from steerdose.dose.audit import audit_dose
from steerdose.dose.calibrate import calibrate_alpha
from steerdose.dose.gather import gather_calibration
from steerdose.files import read_json
from steerdose.study.config import Calibration, Measure
from steerdose.study.settings import AuditDose, CalibrateAlpha, GatherCalibration, Run, Subject

RUN = Run(dtype="float32", device="cpu")
SEARCH = {
    **{"statistic": "p95", "target": 0.2, "tolerance": 0.05, "max_evaluations": 6},
    **{"n_prompts": 10, "n_audit_prompts": 5, "max_new_tokens": 8, "batch_size": 96},
}
CELL = Cell("tiny", "honesty", 0)


def calibrate(folder, model, methods, steering=(), system_prompts=(), references=(), parts=((0, None),), **changes):
    """Run search, audit and gather; return by method its table's path and its report's."""
    options = {**SEARCH, **changes}
    shared = {"model": model, "steering": list(steering), "system_prompts": list(system_prompts), "cell": CELL}
    search = [str(folder / f"job.search.{suffix}") for suffix in ("parquet", "json")]
    settings = CalibrateAlpha(run=RUN, calibration=Calibration(**options), methods=methods)
    calibrate_alpha(
        **shared,
        prompts="data/prompts.jsonl",
        references=list(references),
        settings=settings,
        table=search[0],
        summary=search[1],
        doses=str(folder / "job.doses.parquet"),
    )
    measure = Measure(**{name: options[name] for name in Measure.model_fields})
    subjects = {name: Subject(style=subject.style) for name, subject in methods.items()}
    audits = []
    for part, (first, last) in enumerate(parts):
        place = {"first": first, "last": last or options["n_audit_prompts"]}
        audits.append(str(folder / f"job.audit{part}.parquet"))
        audit_dose(
            **shared,
            prompts="data/prompts.jsonl",
            search=search,
            settings=AuditDose(run=RUN, measure=measure, methods=subjects, **place),
            tokens=audits[-1],
        )
    found = {}
    for name in methods:
        found[name] = str(folder / f"{name}.parquet"), str(folder / f"{name}.json")
        gather_calibration(
            search=search,
            audits=audits,
            cell=CELL.of(name),
            settings=GatherCalibration(statistic=options["statistic"], method=name),
            table=found[name][0],
            summary=found[name][1],
        )
    return found


def reports(found):
    return {name: read_json(summary) for name, (_, summary) in found.items()}
