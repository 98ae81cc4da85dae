"""Bad input through snakemake itself: one clear message, a remedy, and no half-written output."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sweeep": {}}, "sweeep: unknown key; remove it, or see config.yaml for its name"),
        ({"rollout": {"widow": 3}}, "rollout.widow: unknown key; did you mean window?"),
        ({"rollout": {"window": 0}}, "rollout.window: input should be greater than or equal to 1, found 0"),
        ({"rollout": {"alphas": [1, 2]}}, "rollout.alphas: must contain 0, the unsteered model"),
        ({"methods": {"lora": {"peft_type": "LORAX"}}}, "methods.lora.peft_type: 'LORAX' is not one of"),
        ({"study": {"methods": ["lora", "pca"]}}, "study.methods: 'pca' is not defined under methods"),
        ({"data": {"prompts": "data/none.jsonl"}}, "data.prompts: cannot read data/none.jsonl"),
        ({"survival": None}, "survival: keys are wanted, found null"),
    ],
)
def test_a_wrong_config_stops_before_any_job(fresh, change, message):
    fresh.configure(**change)
    done = fresh.snakemake("-n", check=False)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert f"{fresh.overlay}: {message}" in said, "the overlay holds it, not config.yaml"
    assert "Traceback" not in said
    assert not (fresh.root / "results").exists()


def test_all_problems_are_said_at_once_each_with_its_file(fresh):
    fresh.configure(rollout={"window": 0}, device="gpu")
    config = fresh.root / "config.yaml"
    config.write_text(config.read_text().replace("max_evaluations: 6", "max_evaluations: 0"))
    done = fresh.snakemake("-n", check=False)
    said = done.stdout + done.stderr
    for line in (f"{fresh.overlay}: rollout.window: ", f"{fresh.overlay}: device: "):
        assert line in said
    assert re.search(r"^ *\S*config.yaml: calibration\.max_evaluations: ", said, re.MULTILINE)


def test_overlapping_prompt_splits_stop_before_any_job(fresh):
    path = fresh.root / "data/prompts.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    twin = {**next(row for row in rows if row["split"] == "pairs"), "id": "twin", "split": "audit"}
    path.write_text("\n".join(json.dumps(row) for row in [*rows, twin]))
    done = fresh.snakemake("-n", check=False)
    said = done.stdout + done.stderr
    assert "splits 'pairs' and 'audit' overlap" in said
    assert "twin" in said
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("truncate", "not a readable Hugging Face causal language model"),
        ("sha256", "models.<name>.sha256 says 0000"),
        ("template", "set models.<name>.chat_template to 'plain'"),
    ],
)
def test_a_bad_model_is_refused_when_it_is_resolved(fresh, damage, message):
    weights = fresh.root / "tiny_model/model.safetensors"
    if damage == "truncate":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "sha256":
        fresh.configure(models={"tiny": {"sha256": "0" * 64}})
    else:
        (fresh.root / "tiny_model/chat_template.jinja").unlink()
    done = fresh.snakemake("results/models/tiny", check=False)
    assert done.returncode == 1
    log = fresh.read("results/logs/resolve_model/tiny.log")
    assert message in log
    assert "Traceback" not in log
    assert message in done.stdout + done.stderr, "the profile shows the log of a failed job"
    assert [path.name for path in (fresh.root / "results/models").glob("*")] == []


@pytest.mark.slow
def test_a_target_module_that_the_model_lacks_stops_before_any_job(fresh):
    fresh.configure(methods={"lora": {"target_modules": ["c_attn"]}})
    done = fresh.snakemake("-n", check=False)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "methods.lora.target_modules: ['c_attn'] are in no block of tiny; it has ['down_proj', 'gate_proj'" in said


@pytest.mark.slow
def test_a_probe_that_the_unsteered_model_fails_comes_before_everything_expensive(fresh):
    fresh.configure(survival={"minimum_base_pmass": 0.9})
    done = fresh.snakemake("--cores", "1", "results/figs/survival.png", check=False)
    assert done.returncode == 1
    log = fresh.read("results/logs/set_threshold/tiny.log")
    assert "the unsteered model fails the probe json_interrupt" in log
    assert "Name one that passes in rollout.probes" in log
    started = sorted(path.name for path in (fresh.root / "results/logs").glob("*"))
    assert started == ["audit_probe", "resolve_model", "set_threshold"]


def test_the_shipped_workflow_is_linted_and_formatted():
    tools = Path(sys.executable).parent
    for command in (
        [sys.executable, "-m", "snakemake", "--lint"],
        [tools / "snakefmt", "--check", "Snakefile", "rules"],
    ):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("overlay", sorted((ROOT / "tests/config").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_dry_run_plans_every_figure_and_table_and_the_model_jobs_of_each_method(fresh, overlay):
    (fresh.root / overlay.name).write_text(overlay.read_text())
    fresh.overlay = overlay.name
    planned = fresh.stale()
    scripts = {path.stem for path in (ROOT / "workflow_scripts").glob("*.py")}
    ends = {name for name in scripts if name.startswith(("tabulate_", "plot_", "write_"))}
    ends -= {"write_card", "write_texts"}
    if overlay.stem != "tiny":  # in which alone a delta is taken apart
        for stage in ("ablations", "subspaces"):
            ends -= set(re.findall(r"^rule (\w+):", (ROOT / f"rules/{stage}.smk").read_text(), re.MULTILINE))
    assert {name: count for name, count in planned.items() if name in ends} == dict.fromkeys(ends, 1)
    each_cell = {"resolve_model": 1, "generate_pairs": 1, "capture_activations": 1, "audit_probe": 2}
    each_method = dict.fromkeys(("calibrate_alpha", "audit_dose", "rollout_trajectories", "write_texts"), 2)
    each_method["score_task"] = {"small": 2, "tiny": 4}[overlay.stem]  # one task that is read, and two
    expected = {**each_cell, **each_method, "train_adapter": 2, "merge_diff": 1, "fit_repe": 1}
    assert {name: planned.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "results/figs/surviwal.png",
            "no rule makes 'results/figs/surviwal.png'; did you mean results/figs/survival.png",
        ),
        ("plot_survivel", "no rule makes 'plot_survivel'; did you mean plot_survival"),
        (
            "results/export/tiny.honesty.seed0.simple_prompt.alpha1/card.md",
            "'simple_prompt' is a prompt and has no coefficient to export; its text is in data.system_prompts",
        ),
    ],
)
def test_an_unknown_target_gets_one_line(fresh, target, message):
    done = fresh.snakemake("-n", target, check=False)
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert message in said
    assert "Traceback" not in said
    assert "MissingRuleException" not in said
