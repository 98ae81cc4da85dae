"""Prompt baselines on a tiny model: how far a text takes the model from itself, in the tables of a dose without one."""

import pytest
from prompt_examples import CELL, RUN, TEXTS, by_hand, save_model, save_texts
from steerdose.declarations.passed import CALIBRATION
from steerdose.dose.audit import audit_dose
from steerdose.dose.calibrate import calibrate_alpha, target_in_nats
from steerdose.dose.gather import gather_calibration
from steerdose.dose.kl_statistics import kl_statistics
from steerdose.errors import SteerdoseError
from steerdose.files import read_json, read_table, write_json
from steerdose.study.config import Calibration, Measure
from steerdose.study.methods import PromptTarget
from steerdose.study.settings import AuditDose, CalibrateAlpha, GatherCalibration, Subject
from steerdose.study.texts import load_prompts, take

MEASURE = {"statistic": "p95", "n_prompts": 5, "n_audit_prompts": 3, "max_new_tokens": 6, "batch_size": 96}
METHOD, SUBJECTS = "simple_prompt", {"simple_prompt": Subject(style="simple")}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("tiny"))


def measured(model, texts, folder):
    """Return the report of a prompt and its table."""
    names = ("search.parquet", "search.json", "audit", "table", f"{METHOD}.json")
    search, found, tokens, table, summary = (str(folder / name) for name in names)
    shared = {"model": model, "steering": [], "prompts": "data/prompts.jsonl", "system_prompts": [texts], "cell": CELL}
    options = Calibration(target=1.0, tolerance=0.05, max_evaluations=6, **MEASURE)
    settings = CalibrateAlpha(run=RUN, calibration=options, methods=SUBJECTS)
    calibrate_alpha(**shared, references=[], settings=settings, table=search, summary=found)
    part = AuditDose(run=RUN, measure=Measure(**MEASURE), methods=SUBJECTS, first=0, last=3)
    audit_dose(**shared, search=[search, found], settings=part, tokens=tokens)
    gathered = GatherCalibration(statistic="p95", method=METHOD)
    gather_calibration(
        search=[search, found], audits=[tokens], cell=CELL.of(METHOD), settings=gathered, table=table, summary=summary
    )
    return summary, read_table(table, CALIBRATION)


def test_the_footprint_is_the_kl_of_rollouts_behind_the_text(model, tmp_path):
    summary, frame = measured(model, save_texts(tmp_path / "system_prompts.yaml"), tmp_path)
    report = read_json(summary)
    assert frame.select("method", "coefficient", "sign", "split", "step", "target").rows() == [
        (METHOD, None, sign, split, 1, None) for sign in TEXTS for split in ("calibration", "audit")
    ]
    every = load_prompts("data/prompts.jsonl")
    for sign, text in TEXTS.items():
        for split, count, key in (("calibration", 5, "statistic"), ("audit", 3, "audit")):
            kl = [value for p in take(every, split, count) for value in by_hand(model, p.prompt, text, 6)[0].kl]
            expected = kl_statistics(kl)
            found = frame.filter(sign=sign, split=split).row(0, named=True)
            assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-4)
            assert report[sign][key] == found["p95"] > 0.01
    nats = target_in_nats(PromptTarget(prompt=METHOD), ["other.json", summary])
    assert nats == {sign: report[sign]["statistic"] for sign in TEXTS}


def test_a_prompt_that_does_not_move_the_model_is_no_target(tmp_path):
    write_json({"positive": {"statistic": 0.3}, "negative": {"statistic": 0.0}}, tmp_path / "none.json")
    with pytest.raises(SteerdoseError, match=r"the negative prompt measured in .*none\.json does not move the model"):
        target_in_nats(PromptTarget(prompt="none"), [str(tmp_path / "none.json")])


def test_a_target_in_nats_is_that_of_both_signs():
    assert target_in_nats(0.5, []) == {"positive": 0.5, "negative": 0.5}
