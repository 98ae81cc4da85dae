"""Calibration of real steerings on a tiny model, whatever their scale, and of several in one job."""

import pytest
import tiny
import torch
from dose_jobs import calibrate, reports
from steerdose.declarations.dose import CALIBRATION, DOSES
from steerdose.dose.kl_statistics import STATISTICS
from steerdose.files import read_json, read_table
from steerdose.make.captures import capture, modules_of_blocks
from steerdose.make.contrast import Contrast
from steerdose.make.estimators import mean_diff
from steerdose.model import chat
from steerdose.model.loading import load_model
from steerdose.steering.edits import EDITS
from steerdose.steering.steering import MEMBERS, Steering
from steerdose.study.settings import Subject

Ablate, Add = EDITS["Ablate"], EDITS["Add"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny.resolved(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def fitted(model):
    """The path and unit direction of mean_diff behind the second block."""
    loaded = load_model(model)
    path = modules_of_blocks(loaded.model, "residual")[1]
    sides = []
    for persona in ("You are honest.", "You are a liar."):
        texts = [chat.conversation(prompt, persona) for prompt in ("Who are you?", "What is true?")]
        sides.append(capture(loaded, [path], [chat.prompt_ids(loaded.tokenizer, text) for text in texts], 4)[path])
    return path, mean_diff(Contrast(*sides)).v


@pytest.fixture
def calibrated(model, tmp_path):
    def run(path, edit, **changes):
        Steering("scaled", ((path, edit),), {}).save(tmp_path / "scaled.safetensors")
        target = Subject(target=changes.pop("target", 0.2))
        found = calibrate(tmp_path, model, {"scaled": target}, [tmp_path / "scaled.safetensors"], **changes)
        table, summary = found["scaled"]
        return read_json(summary), read_table(table, CALIBRATION)

    return run


@pytest.mark.parametrize("length", [1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100, 1e3])
def test_a_direction_of_any_length_gets_the_same_dose(calibrated, fitted, length):
    path, v = fitted
    report, table = calibrated(path, Add(length * v), statistic="mean")
    assert report["negative_is_opposite"] is True
    for sign, product in (("positive", 10.7), ("negative", 10.9)):  # c_star at length 1
        assert report[sign]["converged"], report[sign]["reason"]
        assert report[sign]["evaluations"] == len(table.filter(sign=sign, split="search")) <= 6
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
    overflowed = table.filter(split="search", sign="positive", step=1)
    assert overflowed["coefficient"].to_list() == [1.0]
    assert overflowed.select(*STATISTICS, "n_tokens").row(0) == (None,) * 8
    assert report["positive"]["c_star"] * 1e20 == pytest.approx(10.7, rel=0.1)


def test_an_ablation_says_that_its_negative_sign_is_no_opposite(calibrated, fitted):
    path, v = fitted
    report, _ = calibrated(path, Ablate(v))
    assert report["negative_is_opposite"] is False


def test_members_of_one_file_are_calibrated_in_one_job_as_they_are_alone(model, fitted, tmp_path):
    path, v = fitted
    pair = Steering("both", ((path, Add(v)), (path, Add(-2 * v.roll(1)))), {MEMBERS: '["a", "b"]'})
    pair.save(tmp_path / "both.safetensors")
    names = {f"both.{name}": Subject(target=0.2) for name in ("a", "b")}
    together = reports(calibrate(tmp_path, model, names, [tmp_path / "both.safetensors"]))
    for name, subject in names.items():
        alone = tmp_path / name
        alone.mkdir()
        found = reports(calibrate(alone, model, {name: subject}, [tmp_path / "both.safetensors"]))
        assert found[name] == together[name]
    assert together["both.a"] != together["both.b"]


def test_an_audit_in_parts_is_the_audit_of_all_prompts_where_parts_are_whole_batches(model, fitted, tmp_path):
    path, v = fitted
    Steering("scaled", ((path, Add(v)),), {}).save(tmp_path / "scaled.safetensors")
    found = []
    for parts in (((0, None),), ((0, 2), (2, 4), (4, 5))):
        folder = tmp_path / str(len(parts))
        folder.mkdir()
        job = calibrate(
            folder, model, {"s": Subject(target=0.2)}, [tmp_path / "scaled.safetensors"], parts=parts, batch_size=2
        )
        found.append(read_table(job["s"][0], CALIBRATION))
    assert found[0].equals(found[1])


def test_a_dose_that_overflows_on_held_out_prompts_has_no_audit(model, fitted, tmp_path):
    path, v = fitted
    Steering("scaled", ((path, Add(torch.full_like(v, 1e30))),), {}).save(tmp_path / "scaled.safetensors")
    job = calibrate(
        tmp_path, model, {"s": Subject(target=0.2)}, [tmp_path / "scaled.safetensors"], max_evaluations=20, tolerance=1
    )
    report, table = read_json(job["s"][1]), read_table(job["s"][0], CALIBRATION)
    for sign in ("positive", "negative"):
        assert (report[sign]["audit"] is None) == (table.filter(sign=sign, split="audit")["p95"][0] is None)


def test_the_last_step_meets_the_target_on_all_prompts(calibrated, fitted):
    """Searched on 4 prompts, set on 16: another run evaluates the dose that it found."""
    path, v = fitted
    few, table = calibrated(path, Add(v), statistic="mean", n_search_prompts=4, n_prompts=16, tolerance=0.1)
    found = few["positive"]
    whole = table.filter(sign="positive", split="calibration").row(0, named=True)
    assert whole["coefficient"] == found["evaluated"] != found["c_star"]
    assert whole["n_tokens"] > 3 * table.filter(sign="positive", split="search")["n_tokens"].max()
    assert found["statistic"] == whole["mean"]
    before = abs(whole["mean"] / 0.2 - 1)
    again, _ = calibrated(
        path, Add(found["c_star"] * v), statistic="mean", n_search_prompts=16, n_prompts=16, max_evaluations=1,
        tolerance=1.0,
    )  # fmt: skip
    assert abs(again["positive"]["statistic"] / 0.2 - 1) < min(0.02, before)


def test_a_search_that_did_not_converge_takes_no_step(calibrated, fitted):
    path, v = fitted
    report, _ = calibrated(path, Add(v), statistic="mean", max_evaluations=1, n_search_prompts=4)
    assert not report["positive"]["converged"]
    assert report["positive"]["c_star"] == report["positive"]["evaluated"] == 1.0


def test_doses_are_tabled_by_method_and_sign(model, fitted, tmp_path):
    path, v = fitted
    Steering("s", ((path, Add(v)),), {}).save(tmp_path / "s.safetensors")
    found = reports(calibrate(tmp_path, model, {"s": Subject(target=0.2)}, [tmp_path / "s.safetensors"]))["s"]
    table = read_table(tmp_path / "job.doses.parquet", DOSES)
    assert table["sign"].to_list() == ["positive", "negative"]
    for name in ("c_star", "c_star_low", "c_star_high", "relative_dose"):
        assert table[name].to_list() == [found[sign][name] for sign in table["sign"]]
