"""Bad input through snakemake itself: one clear message, a remedy, and no half-written output."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sweeep": {}}, "'sweeep' was unexpected"),
        ({"rollout": {"window": 0}}, "rollout.window: 0 is less than the minimum of 1"),
        ({"rollout": {"alphas": [1, 2]}}, "rollout.alphas: must contain 0"),
        ({"methods": {"lora": {"peft_type": "LORAX"}}}, "methods.lora.peft_type: 'LORAX' is not one of"),
        ({"study": {"methods": ["lora", "pca"]}}, "study.methods: 'pca' is not defined under methods"),
        ({"data": {"prompts": "data/none.jsonl"}}, "data.prompts: cannot read data/none.jsonl"),
    ],
)
def test_a_wrong_config_stops_before_any_job(fresh, change, message):
    fresh.configure(**change)
    done = fresh.snakemake("-n", check=False)
    assert done.returncode == 1
    assert message in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not (fresh.root / "results").exists()


def test_overlapping_prompt_splits_stop_before_any_job(fresh):
    path = fresh.root / "data/prompts.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    twin = {**next(row for row in rows if row["split"] == "pairs"), "id": "twin", "split": "audit"}
    path.write_text("\n".join(json.dumps(row) for row in [*rows, twin]))
    done = fresh.snakemake("-n", check=False)
    assert "splits 'pairs' and 'audit' overlap" in done.stdout
    assert "twin" in done.stdout


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
def test_a_target_module_that_the_model_lacks(study):
    study.configure(methods={"lora": {"target_modules": ["c_attn"]}})
    done = study.snakemake("results/tiny/honesty/seed0/adapters/lora.positive", check=False)
    assert done.returncode == 1
    assert "target_modules ['c_attn'] do not exist in LlamaForCausalLM's blocks; it has ['act_fn', 'down_proj'" in (
        study.read("results/logs/train_adapter/tiny.honesty.seed0.lora.positive.log")
    )
    assert not (study.root / "results/tiny/honesty/seed0/adapters/lora.positive").exists()


@pytest.mark.slow
def test_a_probe_that_the_unsteered_model_fails_comes_before_everything_expensive(fresh):
    fresh.configure(survival={"minimum_base_pmass": 0.9})
    done = fresh.snakemake("results/figs/survival.png", check=False)
    assert done.returncode == 1
    log = fresh.read("results/logs/audit_probe/tiny.log")
    assert "the unsteered model fails the probe json_interrupt" in log
    assert "Name one of these in rollout.probes" in log
    assert sorted(path.name for path in (fresh.root / "results/logs").glob("*")) == ["audit_probe", "resolve_model"]


def test_the_shipped_workflow_is_linted_and_formatted():
    tools = Path(sys.executable).parent
    for command in (
        [sys.executable, "-m", "snakemake", "--lint"],
        [tools / "snakefmt", "--check", "Snakefile", "rules"],
    ):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_dry_runs_of_every_shipped_config(fresh):
    assert fresh.stale()["rollout_trajectories"] == 2
    for overlay in sorted((ROOT / "tests/config").glob("*.yaml")):
        (fresh.root / overlay.name).write_text(overlay.read_text())
        fresh.overlay = overlay.name
        assert fresh.stale() == {
            "resolve_model": 1, "audit_probe": 1, "set_threshold": 1, "generate_pairs": 1, "train_adapter": 2,
            "merge_diff": 1, "fit_repe": 1, "calibrate_alpha": 2, "rollout_trajectories": 2, "kaplan_meier": 2,
            "tabulate_survival": 1, "tabulate_methods": 1, "tabulate_geometry": 1, "plot_survival": 1,
            "plot_spaghetti": 1, "plot_calibration": 1, "plot_training": 1,
            "tabulate_aggregation": 1, "plot_aggregation": 1, "write_reading": 1,
            "tabulate_dose_response": 1, "plot_dose_response": 1, "plot_lethal_dose": 1,
            "tabulate_threshold_sweep": 1, "plot_threshold_sweep": 1,
            "tabulate_probes": 1, "plot_probes": 1,
            "measure_prefixes": 2, "tabulate_deaths": 1, "plot_death_anatomy": 1, "tabulate_death_events": 1,
            "tabulate_texts": 1,
            "tabulate_logrank": 1, "tabulate_hazards": 1,
            "plot_survival_by_dose": 1, "plot_spaghetti_normalised": 1, "plot_kl_fan": 1, "plot_aggregate": 1,
        }  # fmt: skip


def test_an_unknown_target_fails(fresh):
    done = fresh.snakemake("-n", "results/figs/surviwal.png", check=False)
    assert done.returncode == 1
    assert "No rule to produce results/figs/surviwal.png" in done.stdout
