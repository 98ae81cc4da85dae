"""What a job asks of the model before it runs, and what that takes; `test_real_study` holds it against real jobs."""

import json
import re
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
from steerdose.study.estimate import LIGHT, Estimates, Speed
from steerdose.study.pace import Pace
from steerdose.study.plan import Plan
from steerdose.study.work import Work, Works
from study_examples import ROOT, parts, study
from wildcards import Wildcards

W = Wildcards(model="smollm2", behavior="honesty", seed="0", entry="lora", job="lora", part="0", probes="rolled_out",
              task="honesty", group="modules", sign="positive", method="lora", submodule="residual")  # fmt: skip
UNPLANNED = {"measure_speed", "run_lm_eval"}  # a short one; and what another program asks, which runs by hand alone


@pytest.fixture(autouse=True)
def root(monkeypatch):
    monkeypatch.chdir(ROOT)


def work(rule, w=W, **values):
    chosen = study(**values)
    return Works(chosen, Plan(chosen)).of(rule, w)


def but(**other):
    return Wildcards(**{**dict(W.items()), **other})


def model_rules():
    """The rules whose jobs run a model."""
    text = "".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    rules = re.findall(r"^rule (\w+):\n(.*?)(?=^rule |\Z)", text, re.MULTILINE | re.DOTALL)
    return sorted(name for name, body in rules if "**MODEL_JOB" in body)


def test_every_rule_that_runs_a_model_has_work_and_no_other():
    tasks = {"write_texts": "instructions", "score_task": "honesty"}
    every = {rule: but(behavior="cheerfulness", task=tasks.get(rule, "honesty")) for rule in model_rules()}
    found = {rule for rule, w in every.items() if work(rule, w) is not None}
    assert found == {*model_rules()} - UNPLANNED
    assert len(found) > 12
    assert work("plot_survival") is None


@pytest.mark.parametrize(
    ("rule", "more"),
    [
        ("generate_pairs", {"pairs.max_new_tokens": 80}),
        ("train_adapter", {"methods.lora.training.steps": 64}),
        ("calibrate_alpha", {"calibration.n_prompts": 40}),
        ("audit_dose", {"calibration.n_audit_prompts": 20}),
        ("audit_probe", {"rollout.n_questions": 48}),
        ("roll_reference", {"reference.n_questions": 40}),
        ("rollout_trajectories", {"rollout.alphas": [0, 1, 2, 3, 4, 5, 6, 7]}),
        ("rollout_trajectories", {"rollout.readings": ["steered", "unsteered"]}),
        ("score_relevance", {"relevance.others": 9}),
        ("score_task", {"rollout.alphas": [0, 1, 2, 3, 4, 5, 6, 7]}),
    ],
)
def test_more_of_anything_is_more_work(rule, more):
    (key, value), shipped = next(iter(more.items())), study()
    for part in key.split("."):
        shipped = shipped[part] if isinstance(shipped, dict) else getattr(shipped, part)
    large, small = work(rule, **more), work(rule)
    if isinstance(value, int) and value < shipped:  # the files have no more
        large, small = small, large
    speed = Speed(start=0)
    assert speed.seconds(large, 2) > 1.1 * speed.seconds(small, 2)


def test_rollouts_add_up_however_they_are_cut():
    whole = work("rollout_trajectories")
    cut = {"jobs.batches": 1, "rollout.batch_size": 48}  # three parts of eight questions
    pieces = [work("rollout_trajectories", but(part=str(i)), **cut) for i in range(3)]
    assert sum(each.tokens for each in pieces) == pytest.approx(whole.tokens)
    assert pieces[0].rows == 48
    assert whole.decoded == 6 * 24 * 128


def test_a_job_of_several_methods_has_the_work_of_all():
    several = {"methods.p": parts("1-3"), "jobs.methods": 3, "study.methods": ["lora", "p"]}
    one, three = (
        work("rollout_trajectories"),
        work("rollout_trajectories", Wildcards(**{**dict(W.items()), "job": "p.job0"}), **several),
    )
    assert three.tokens == pytest.approx(3 * one.tokens)


def test_what_lies_below_the_first_edit_is_no_work_of_a_twin_or_of_another_dose():
    chosen = study()
    shallow, deep = chosen.methods["lora"].layer_range[0], chosen.methods["mean_diff"].depths[0]
    assert (shallow, deep) == (0.3, 0.6)
    for rule in ("rollout_trajectories", "write_texts", "calibrate_alpha", "audit_dose"):
        for job, below in (
            ("lora", shallow),
            ("mean_diff", deep),
            ("random_direction", deep),
            ("random_delta", shallow),
        ):
            assert work(rule, but(job=job, task="instructions")).above == pytest.approx(1 - below), (rule, job)
        assert work(rule, but(job="simple_prompt", task="instructions")).above == 1, "its twin has another prompt"
    one, other = work("score_task"), work("score_task", but(job="mean_diff"))
    assert one.read == other.read == pytest.approx(one.again / 6), "once for all doses"
    assert work("score_task", but(job="simple_prompt")).read == pytest.approx(one.again / 3), "each sign's text"


def test_a_prompt_has_no_doses_but_its_signs():
    doses = {"rollout.alphas": [-2, -1, 0, 1, 2, 3]}
    prompt, dosed = (work("rollout_trajectories", but(job=job), **doses) for job in ("simple_prompt", "lora"))
    assert prompt.decoded == dosed.decoded / 2 == 3 * 24 * 128


def test_time_is_in_steps_rows_and_tokens():
    trained = {"float32": 2.0, "bfloat16": 1.0}
    plain, edited = Pace(step=0.5, row=0.05, read=0.01), Pace(step=0.7, row=0.15, read=0.03)
    speed = Speed(threads=4, start=5, plain=plain, edited=edited, kept=0.001, trained=trained)
    assert speed.seconds(Work(), 4) == 5
    lone = Work(decoded=80, rows=8)
    assert speed.seconds(lone, 4) == pytest.approx(5 + 10 * 0.5 + 80 * 0.05)
    assert speed.seconds(replace(lone, above=1), 4) == pytest.approx(5 + 10 * 0.7 + 80 * 0.15)
    assert speed.seconds(replace(lone, above=0.5), 4) == pytest.approx(5 + 10 * 0.6 + 80 * 0.1)
    long = {"width": 30, "window": 20}  # 20 tokens in front of a row, on the average, and of its twin
    assert speed.seconds(replace(lone, **long), 4) == pytest.approx(5 + 10 * 0.5 + 80 * (0.05 + 20 * 0.001))
    assert speed.seconds(replace(lone, **long, above=1), 4) == pytest.approx(5 + 10 * 0.7 + 80 * (0.15 + 40 * 0.001))
    assert speed.seconds(Work(read=100), 4) == pytest.approx(6)
    assert speed.seconds(Work(read=100, above=0.5, again=300), 4) == pytest.approx(5 + 50 * 0.01 + 150 * 0.03)
    assert speed.seconds(Work(trained=3, precision="bfloat16"), 4) == pytest.approx(8)
    assert speed.seconds(Work(read=100), 1) == pytest.approx(9), "a quarter of the threads that were measured"
    assert replace(speed, threads=0).seconds(Work(read=100), 1) == pytest.approx(6), "a GPU"


def test_memory_grows_with_rows_and_width_and_half_the_bytes_are_half_of_what_attention_keeps():
    speed, few = Speed(weights=538_060_032), Work(decoded=100, rows=8, width=200, above=1)
    assert speed.gib(Work(decoded=100, rows=64, width=200), "float32") > speed.gib(few, "float32")
    assert speed.gib(Work(decoded=100, rows=8, width=4000), "float32") > speed.gib(few, "float32") + 0.5
    read = Work(read=100, rows=8, width=200)
    assert speed.gib(replace(read, above=1), "float32") == speed.gib(read, "float32"), "a dose is a row of its own"
    logits = (speed.gib(replace(read, scored=each), "float32") - speed.gib(read, "float32") for each in (10, 1000))
    assert [*logits] == pytest.approx([2 * 8 * 10 * speed.vocabulary * 4 / 2**30, 0.5]), "of pieces that are scored"
    merging = speed.gib(work("merge_diff"), "bfloat16") - speed.gib(Work(), "bfloat16")
    assert merging == pytest.approx(2 * speed.weights / 2**30), "two more fp32 copies, whatever the model is loaded as"
    kept = 2 * 8 * 200 * speed.cache * 4 / 2**30
    assert speed.gib(few, "float32") - speed.gib(few, "bfloat16") == pytest.approx(kept / 2)


def test_what_was_measured_is_used_and_what_another_version_wrote_is_not(tmp_path, monkeypatch):
    chosen = study()
    monkeypatch.setattr("steerdose.study.work.load_prompts", lambda _: [SimpleNamespace(prompt="x" * 42)])
    questions = [SimpleNamespace(question="x" * 42)]
    monkeypatch.setattr("steerdose.study.work.load_questions", lambda _: questions)
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "results/smollm2/speed.json"
    place.parent.mkdir(parents=True)

    def expected():
        return Estimates(Plan(chosen), cores=4, gpus=None).of("train_adapter", W)

    default = expected()
    assert not default.measured
    measured = {**asdict(Speed()), "trained": {"float32": 1.0, "bfloat16": 1.0}}
    place.write_text(json.dumps(measured))
    assert expected().measured
    assert expected().seconds > 50 * default.seconds
    for other in ('{"start": 1.0}', "not json", "[]"):
        place.write_text(other)
        assert expected() == default


@pytest.mark.parametrize(
    ("cores", "gpus", "threads", "models"),
    [(4, None, None, 1), (4, None, 1, 4), (4, 1, 1, 1), (8, 2, 2, 2), (2, 1, 8, 1)],
)
def test_how_many_jobs_run_at_a_time(cores, gpus, threads, models):
    found = Estimates(Plan(study(**{"jobs.threads": threads} if threads else {})), cores, gpus)
    assert found.of("train_adapter", W).slots == models
    assert found.threads == min(threads or cores, cores)
    assert found.of("plot_survival", W).slots == cores
    assert found.of("plot_survival", W).seconds == LIGHT
