"""Prompt baselines on a tiny model: how far a text takes the model from itself, in the tables of a dose without one."""

import pytest
from dose_jobs import calibrate
from prompt_examples import TEXTS, by_hand, save_model, save_texts
from steerdose.declarations.dose import CALIBRATION
from steerdose.dose.calibrate import target_in_nats
from steerdose.dose.kl_statistics import kl_statistics
from steerdose.errors import SteerdoseError
from steerdose.files import read_json, read_table, write_json
from steerdose.study.kind import PromptTarget
from steerdose.study.settings import Subject
from steerdose.study.texts import load_prompts, take

MEASURE = {"statistic": "p95", "n_prompts": 5, "n_audit_prompts": 3, "max_new_tokens": 6}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def texts(tmp_path):
    return save_texts(tmp_path / "system_prompts.yaml")


def test_the_footprint_is_the_kl_of_rollouts_behind_the_text(model, texts, tmp_path):
    job = calibrate(tmp_path, model, {"simple_prompt": Subject(style="simple")}, system_prompts=[texts], **MEASURE)
    table, summary = job["simple_prompt"]
    report, frame = read_json(summary), read_table(table, CALIBRATION)
    assert frame.select("method", "coefficient", "sign", "split", "step", "target").rows() == [
        ("simple_prompt", None, sign, split, 1, None) for sign in TEXTS for split in ("calibration", "audit")
    ]
    every = load_prompts("data/prompts.jsonl")
    for sign, text in TEXTS.items():
        for split, count, key in (("calibration", 5, "statistic"), ("audit", 3, "audit")):
            kl = [value for p in take(every, split, count) for value in by_hand(model, p.prompt, text, 6)[0].kl]
            expected = kl_statistics(kl)
            measured = frame.filter(sign=sign, split=split).row(0, named=True)
            assert {name: measured[name] for name in expected} == pytest.approx(expected, abs=1e-4)
            assert report[sign][key] == measured["p95"] > 0.01
    assert target_in_nats(PromptTarget(prompt="simple_prompt"), [summary]) == {
        sign: report[sign]["statistic"] for sign in TEXTS
    }


def test_a_prompt_that_does_not_move_the_model_is_no_target(tmp_path):
    write_json({"positive": {"statistic": 0.3}, "negative": {"statistic": 0.0}}, tmp_path / "none.json")
    with pytest.raises(SteerdoseError, match=r"the negative prompt measured in .*none\.json does not move the model"):
        target_in_nats(PromptTarget(prompt="none"), [str(tmp_path / "other.json"), str(tmp_path / "none.json")])
