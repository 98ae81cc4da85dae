"""Calibration of real steerings on a tiny model, whatever their scale."""

import polars as pl
import pytest
import tiny
from steerdose.dose.calibrate import calibrate_alpha
from steerdose.dose.kl_statistics import STATISTICS
from steerdose.files import read_json, read_table, write_json
from steerdose.make.estimators import mean_diff
from steerdose.make.repe import read_contrasts
from steerdose.model.loading import load_model
from steerdose.steering.edits import Ablate, Add
from steerdose.steering.steering import Steering

SETTINGS = {
    **{"dtype": "float32", "device": "cpu", "statistic": "p95", "target": 0.2, "tolerance": 0.05, "max_evaluations": 6},
    **{"n_prompts": 10, "n_audit_prompts": 5, "max_new_tokens": 8, "batch_size": 96},
}
CELL = {"model": "tiny", "behavior": "honesty", "seed": 0, "method": "scaled"}
METHOD = {"depths": [0.4], "submodule": None}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tiny.save(tmp_path_factory.mktemp("tiny"))
    write_json({"trust_remote_code": False, "sha256": "0"}, folder / "source.json")
    return str(folder)


@pytest.fixture(scope="module")
def fitted(model):
    """The path and unit direction of mean_diff, as fit_repe fits it."""
    personas = {"persona_pos": "You are honest.", "persona_neg": "You are a liar."}
    prompted = pl.DataFrame([{"prompt": prompt, **personas} for prompt in ("Who are you?", "What is true?")])
    contrasts = read_contrasts(load_model(model, dtype="float32", device="cpu"), prompted, METHOD, batch_size=4)
    return next((path, mean_diff(contrast).v) for path, contrast in contrasts.items())


@pytest.fixture
def calibrated(model, tmp_path):
    def run(path, edit, **changes):
        Steering("scaled", ((path, edit),), {}).save(tmp_path / "scaled.safetensors")
        calibrate_alpha(
            model=model,
            steering=str(tmp_path / "scaled.safetensors"),
            prompts="data/prompts.jsonl",
            cell=CELL,
            settings={**SETTINGS, **changes},
            table=str(tmp_path / "scaled.parquet"),
            summary=str(tmp_path / "scaled.json"),
        )
        return read_json(tmp_path / "scaled.json"), read_table(tmp_path / "scaled.parquet")

    return run


@pytest.mark.parametrize("length", [1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100, 1e3])
def test_a_direction_of_any_length_gets_the_same_dose(calibrated, fitted, length):
    path, v = fitted
    report, table = calibrated(path, Add(length * v), statistic="mean")
    assert report["negative_is_opposite"] is True
    for sign, product in (("positive", 10.7), ("negative", 10.9)):  # c_star at length 1
        assert report[sign]["converged"], report[sign]["reason"]
        assert report[sign]["evaluations"] == len(table.filter(sign=sign, split="calibration")) <= 6
        assert report[sign]["c_star"] * length == pytest.approx(product, rel=0.1)
        assert report[sign]["statistic"] == pytest.approx(0.2, rel=0.05)


def test_every_statistic_is_a_target(calibrated, fitted):
    path, v = fitted
    found = {}
    for statistic in STATISTICS:
        report, _ = calibrated(path, Add(v), statistic=statistic, tolerance=0.2)
        assert report["statistic"] == statistic
        assert report["positive"]["converged"]
        found[statistic] = report["positive"]["c_star"]
    assert found["max"] < found["p99"] < found["p95"] < found["p90"] < found["mean"]  # the higher KL asks for less


def test_logits_that_overflow_count_as_far_too_strong(calibrated, fitted):
    path, v = fitted
    report, table = calibrated(path, Add(1e20 * v), max_evaluations=14, statistic="mean")
    overflowed = table.filter(split="calibration", sign="positive", step=1)
    assert overflowed["coefficient"].to_list() == [1.0]
    assert overflowed.select(*STATISTICS, "n_tokens").row(0) == (None,) * 8
    assert report["positive"]["c_star"] * 1e20 == pytest.approx(10.7, rel=0.1)


def test_an_ablation_says_that_its_negative_sign_is_no_opposite(calibrated, fitted):
    path, v = fitted
    report, _ = calibrated(path, Ablate(v))
    assert report["negative_is_opposite"] is False
