"""The files of a study, and the jobs that methods share."""

import time

import pytest
from steerdose.study.load import load_study
from steerdose.study.plan import Plan, content, state
from study_examples import ROOT, changed, parts, study
from wildcards import Wildcards

W = Wildcards(model="smollm2", behavior="honesty", seed="0")
CELL = "results/smollm2/honesty/seed0"


@pytest.fixture(autouse=True)
def root(monkeypatch):
    monkeypatch.chdir(ROOT)


def plan(**values):
    return Plan(study(**values))


def test_a_plain_method_is_a_job_of_its_own():
    found = plan()
    assert found.jobs["lora"] == ("lora",)
    assert found.job_of["lora"] == "lora"
    assert set(found.jobs) == set(found.study.methods)


@pytest.mark.parametrize(("size", "sizes"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (20, [7])])
def test_the_parts_of_an_entry_share_jobs(size, sizes):
    found = plan(**{"methods.p": parts("1-7"), "jobs.methods": size, "study.methods": ["lora", "p"]})
    jobs = {job: methods for job, methods in found.jobs.items() if job.startswith("p.")}
    assert list(jobs) == [f"p.job{number}" for number in range(len(sizes))]
    assert [len(methods) for methods in jobs.values()] == sizes
    assert [method for methods in jobs.values() for method in methods] == [f"p.{layer}" for layer in range(1, 8)]
    assert {found.job_of[method] for method in jobs["p.job0"]} == {"p.job0"}
    assert found.jobs["lora"] == ("lora",), "no job has methods of several entries"


def test_what_the_methods_of_a_job_read():
    found = plan(**{"methods.p": parts("1-3"), "jobs.methods": 2, "study.methods": ["p", "simple_prompt"]})
    job = Wildcards(W, job="p.job0")
    assert found.steering(job) == [f"{CELL}/steering/p.safetensors"]
    assert found.steering(Wildcards(W, method="p.3")) == [f"{CELL}/steering/p.safetensors"]
    assert found.derived_from(Wildcards(W, entry="p")) == f"{CELL}/steering/lora.safetensors"
    assert found.doses(job) == [f"{CELL}/calibration/jobs/p.job0.search.json"]
    assert found.search(job) == found.search(Wildcards(W, method="p.2"))
    assert found.search(Wildcards(W, method="p.3"))[0] == f"{CELL}/calibration/jobs/p.job1.search.parquet"
    prompt = Wildcards(W, job="simple_prompt")
    assert found.steering(prompt) == found.doses(prompt) == []
    assert found.system_prompts(prompt) == ["data/system_prompts.yaml"]
    assert found.system_prompts(job) == []


@pytest.mark.parametrize(("batches", "parts_of_rollouts"), [(None, 1), (1, 4), (2, 2), (3, 2)])
def test_rollouts_are_gathered_of_their_parts(batches, parts_of_rollouts):
    values = {"rollout.alphas": [0.0, 1.0, 2.0], "rollout.n_questions": 12, "rollout.batch_size": 9}
    found = plan(**values, **{"jobs.batches": batches})
    files = found.rollouts("forks")(Wildcards(W, method="lora"))
    assert files == [f"{CELL}/rollouts/jobs/lora.{part}.forks.parquet" for part in range(parts_of_rollouts)]
    assert found.rollout_spans[0] == (0, 3 * (batches or 4))
    assert found.rollout_spans[-1][1] == 12


def test_a_prompt_that_is_a_target_is_measured_first():
    target = {"prompt": "simple_prompt"}
    found = plan(**{"methods.lora.target": target})
    assert found.references(Wildcards(W, job="lora")) == [f"{CELL}/calibration/simple_prompt.json"]
    assert found.references(Wildcards(W, job="mean_diff")) == []
    every = plan(**{"calibration.target": target})
    assert every.references(Wildcards(W, job="mean_diff")) == [f"{CELL}/calibration/simple_prompt.json"]
    assert every.references(Wildcards(W, job="simple_prompt")) == [], "a prompt does not wait for itself"


def test_activations_are_captured_once_for_all_that_are_fitted_to_the_same_module():
    inner = {"kind": "activation", "estimator": "sspace", "depths": [0.5], "submodule": "self_attn.o_proj"}
    found = plan(**{"methods.inner": inner})
    same = {found.captured(Wildcards(W, entry=name)) for name in ("mean_diff", "shuffled_direction")}
    assert same == {f"{CELL}/captures/residual.safetensors"}
    assert found.captured(Wildcards(W, entry="inner")) == f"{CELL}/captures/self_attn.o_proj.safetensors"


def test_a_study_of_many_cells_has_every_method_in_each():
    found = plan(**{"study.seeds": [0, 1], "study.behaviors": ["honesty", "sycophancy"]})
    files = found.each("results/{model}/{behavior}/seed{seed}/calibration/{method}.json")
    assert len(files) == len(set(files)) == 2 * 2 * 2
    assert found.of_cell(W, "survival/{method}.curve.parquet") == [
        f"{CELL}/survival/{name}.curve.parquet" for name in ("lora", "mean_diff")
    ]


def test_patterns_of_wildcards_match_the_names_whole():
    found = plan()
    assert found.one_of(["p.1", "p.10"]) == r"p\.1|p\.10"
    assert found.one_of([]) == "(?!)"


def test_every_method_names_the_benchmarks_of_the_jobs_that_it_needs():
    found = plan(**{"methods.p": parts("1-3"), "jobs.methods": 2, "study.methods": ["lora", "mean_diff", "p"]})
    by_name = {each.method: each for each in found.method_files()}
    place = "smollm2.honesty.seed0"
    assert f"results/benchmarks/train_adapter/{place}.lora.positive.tsv" in by_name["lora"].benchmarks
    assert f"results/benchmarks/capture_activations/{place}.residual.tsv" in by_name["mean_diff"].benchmarks
    assert f"results/benchmarks/calibrate_alpha/{place}.p.job1.tsv" in by_name["p.3"].benchmarks
    assert f"results/benchmarks/make_parts/{place}.p.tsv" in by_name["p.3"].benchmarks
    assert by_name["p.3"].steering == f"{CELL}/steering/p.safetensors"


def test_sixty_parts_of_two_families_are_planned_at_once():
    many = {f"methods.{name}_parts": parts("0-59", of=name) for name in ("lora", "dora")}
    many |= {"study.methods": ["lora", "dora", "lora_parts", "dora_parts"], "jobs.methods": 20}
    config = changed(**many)
    start = time.process_time()
    found = Plan(load_study(config))
    assert len(found.names()) == 122
    assert [len(found.jobs[f"dora_parts.job{number}"]) for number in range(3)] == [20, 20, 20]
    files = [found.audits(Wildcards(W, method=name)) for name in found.names()]
    assert len({file for parts_of in files for file in parts_of}) == 2 + 6
    assert time.process_time() - start < 5


def test_content_is_that_of_the_files_whatever_their_time(tmp_path):
    paths = [str(tmp_path / name) for name in ("a", "b")]
    for path in paths:
        (tmp_path / path).write_text("one")
    before = content(paths)
    (tmp_path / "a").write_text("one")
    assert content(paths) == before
    (tmp_path / "b").write_text("two")
    assert content(paths) != before
    assert content([*paths, str(tmp_path / "missing")]) == content(paths), "its absence is said elsewhere"


def test_an_older_time_of_a_large_file_counts_too(tmp_path):
    import os

    path = tmp_path / "a"
    path.write_text("one")
    before = state([str(path)])
    assert state([str(path)]) == before
    os.utime(path, ns=(10**18, 10**18))
    assert state([str(path)]) != before
