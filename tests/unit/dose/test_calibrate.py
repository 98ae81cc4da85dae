"""Calibration of real steerings on a tiny model, whatever their scale."""

import pytest
import tiny
from steerdose.columns import SIGNS, Cell
from steerdose.declarations.passed import CALIBRATION
from steerdose.dose.audit import audit_dose
from steerdose.dose.calibrate import calibrate_alpha
from steerdose.dose.gather import gather_calibration
from steerdose.dose.kl_statistics import STATISTICS
from steerdose.files import read_json, read_table, write_json
from steerdose.make.captures import capture
from steerdose.make.contrast import Contrast
from steerdose.make.estimators import mean_diff
from steerdose.model import chat
from steerdose.model.architecture import find_blocks
from steerdose.model.loading import load_model
from steerdose.steering.edits import Ablate, Add
from steerdose.steering.steering import Steering
from steerdose.study.config import Calibration, Measure
from steerdose.study.settings import AuditDose, CalibrateAlpha, GatherCalibration, Run, Subject

OPTIONS = Calibration(
    statistic="p95", target=0.2, tolerance=0.05, max_evaluations=6, n_prompts=10, n_audit_prompts=5, max_new_tokens=8,
    batch_size=96,
)  # fmt: skip
CELL, RUN = Cell("tiny", "honesty", 0), Run(dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tiny.save(tmp_path_factory.mktemp("tiny"))
    write_json({"trust_remote_code": False, "sha256": "0"}, folder / "source.json")
    return str(folder)


@pytest.fixture(scope="module")
def fitted(model):
    """The path and unit direction of mean_diff, as fit_repe fits it."""
    loaded = load_model(model, dtype="float32", device="cpu")
    path, prompts = find_blocks(loaded.model)[1], ("Who are you?", "What is true?")
    sides = [
        [chat.prompt_ids(loaded.tokenizer, chat.conversation(prompt, persona)) for prompt in prompts]
        for persona in ("You are honest.", "You are a liar.")
    ]
    positive, negative = (capture(loaded, [path], side, batch_size=4)[path] for side in sides)
    return path, mean_diff(Contrast(positive, negative)).v


@pytest.fixture
def calibrated(model, tmp_path):
    """Search, audit on two parts of the held-out prompts, gather; return the report and the table."""

    def run(path, edit, **changes):
        options, prompts = OPTIONS.model_copy(update=changes), "data/prompts.jsonl"
        names = ("scaled.safetensors", "search.parquet", "search.json", "audit0", "audit1", "table", "summary")
        steering, search, found, *audits, table, summary = (str(tmp_path / name) for name in names)
        Steering("scaled", ((path, edit),), {}).save(steering)
        shared = {"model": model, "steering": [steering], "prompts": prompts, "system_prompts": [], "cell": CELL}
        subjects = {"scaled": Subject(target=options.target)}
        settings = CalibrateAlpha(run=RUN, calibration=options, methods=subjects)
        calibrate_alpha(**shared, references=[], settings=settings, table=search, summary=found)
        measure = Measure(**{name: getattr(options, name) for name in Measure.model_fields})
        for tokens, first, last in zip(audits, (0, 2), (2, 5), strict=True):
            part = AuditDose(run=RUN, measure=measure, methods=subjects, first=first, last=last)
            audit_dose(**shared, search=[search, found], settings=part, tokens=tokens)
        gather_calibration(
            search=[search, found], audits=audits, cell=CELL.of("scaled"), table=table, summary=summary,
            settings=GatherCalibration(statistic=options.statistic, method="scaled"),
        )  # fmt: skip
        return read_json(summary), read_table(table, CALIBRATION)

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


def test_the_audit_reads_every_held_out_prompt_at_both_doses(calibrated, fitted):
    path, v = fitted
    report, table = calibrated(path, Add(v))
    audits = table.filter(split="audit")
    assert audits["sign"].to_list() == ["positive", "negative"]
    for row in audits.iter_rows(named=True):
        assert row["coefficient"] == pytest.approx(SIGNS[row["sign"]] * report[row["sign"]]["c_star"])
        assert report[row["sign"]]["audit"] == row["p95"] > 0
        assert 5 < row["n_tokens"] <= 5 * 8
