"""Which jobs a change makes stale: exactly those, and nothing on a second run."""

import signal
import subprocess
import sys
import time

import psutil
import pytest

pytestmark = pytest.mark.slow

AGGREGATION = {"tabulate_aggregation": 1, "plot_aggregation": 1}
DOSES = {"tabulate_dose_response": 1, "plot_dose_response": 1, "plot_lethal_dose": 1}
SWEEP = {"tabulate_threshold_sweep": 1, "plot_threshold_sweep": 1}
DEATHS = {"tabulate_deaths": 1, "plot_death_anatomy": 1, "tabulate_death_events": 1}
TEXTS = {"measure_prefixes": 1, "tabulate_texts": 1}
PROBES = {"tabulate_probes": 1, "plot_probes": 1}
COMPARISONS = {"tabulate_logrank": 1, "tabulate_hazards": 1}
TABLES = {"tabulate_survival": 1, "tabulate_methods": 1}
TABLES |= {**AGGREGATION, **DOSES, **SWEEP, **PROBES, **COMPARISONS}
KL_FIGURES = {"plot_spaghetti": 1, "plot_spaghetti_normalised": 1, "plot_kl_fan": 1, "plot_aggregate": 1}
CURVES = {"plot_survival": 1, "plot_survival_by_dose": 1}
FIGURES = {**CURVES, **KL_FIGURES, "write_reading": 1, **TABLES, **DEATHS}
ROLLED_OUT = {**FIGURES, **TEXTS}
LORA_CHAIN = {"calibrate_alpha": 1, "rollout_trajectories": 1, "kaplan_meier": 1, **ROLLED_OUT, "plot_calibration": 1}
PER_METHOD = ["calibrate_alpha", "rollout_trajectories", "kaplan_meier", "measure_prefixes"]
STEERING_CHAIN = {**LORA_CHAIN, "tabulate_geometry": 1}


def touch_module(study, name):
    path = study.root / f"workflow_scripts/steerdose/{name}.py"
    path.write_text(path.read_text() + "\n# edited\n")


def test_a_second_run_has_nothing_to_do(finished_study):
    assert "Nothing to be done" in finished_study.snakemake().stderr
    assert finished_study.stale() == {}


def test_a_learning_rate_reruns_that_adapter_alone(study):
    study.configure(methods={"lora": {"training": {"learning_rate": 0.02}}})
    assert study.stale() == {"train_adapter": 2, "merge_diff": 1, **STEERING_CHAIN, "plot_training": 1}


def test_another_delta_of_the_same_adapters_trains_nothing(study):
    study.configure(methods={"lora": {"delta": "bisector"}})
    assert study.stale() == {"merge_diff": 1, **STEERING_CHAIN}


def test_one_more_alpha_reruns_rollouts_and_not_the_calibration(study):
    study.configure(rollout={"alphas": [0, 1, 2, 3]})
    assert study.stale() == {"rollout_trajectories": 2, "kaplan_meier": 2, **ROLLED_OUT, "measure_prefixes": 2}


def test_the_threshold_reruns_survival_and_no_model(study):
    study.configure(survival={"threshold": {"value": 0.5}})
    assert study.stale() == {"set_threshold": 1, "kaplan_meier": 2, **FIGURES}


def test_the_sweep_and_the_safe_level_rerun_their_tables(study):
    study.configure(survival={"threshold_sweep": [0.6]})
    assert study.stale() == SWEEP
    study.configure(survival={"safe_level": 0.4})
    assert study.stale() == {**DOSES, **SWEEP}


def test_another_probe_that_is_only_audited_rolls_nothing_out(study):
    study.configure(probes={"new": {"kind": "splice", "question": None, "prefill": "So:", "answers": ["yes", "no"]}})
    assert study.stale() == {"audit_probe": 1, "set_threshold": 1, "kaplan_meier": 2, **FIGURES}


@pytest.mark.parametrize(
    ("module", "stale"),
    [
        (
            "figures/style",
            {
                **{**CURVES, **KL_FIGURES, "plot_calibration": 1, "plot_training": 1},
                **{"plot_aggregation": 1, "plot_dose_response": 1, "plot_lethal_dose": 1},
                **{"plot_threshold_sweep": 1, "plot_death_anatomy": 1, "plot_probes": 1},
            },
        ),
        ("tables/publish", {"tabulate_geometry": 1, **TABLES, **DEATHS, "tabulate_texts": 1}),
        ("outcomes/text", {"measure_prefixes": 2, "tabulate_texts": 1, **DEATHS}),
        ("tables/death_events", {"tabulate_death_events": 1}),
        ("figures/death_anatomy", {"plot_death_anatomy": 1}),
        ("tables/aggregation", AGGREGATION),
        ("survival/dose_response", {**DOSES, **SWEEP}),
        ("tables/geometry", {"tabulate_geometry": 1}),
        ("survival/logrank", {"tabulate_logrank": 1}),
        ("survival/hazards", {"tabulate_hazards": 1}),
        ("make/repe", {"fit_repe": 1, **STEERING_CHAIN}),
        ("make/delta", {"merge_diff": 1, **STEERING_CHAIN}),
        ("dose/search", {name: 2 if name in PER_METHOD else 1 for name in LORA_CHAIN}),
        ("survival/lifetimes", {"set_threshold": 1, "kaplan_meier": 2, **FIGURES}),
        ("survival/kaplan_meier", {"kaplan_meier": 2, **{rule: 1 for rule in FIGURES if rule not in PROBES}}),
    ],
)
def test_a_library_module_reruns_the_stages_that_use_it(study, module, stale):
    touch_module(study, module)
    assert study.stale() == stale


def test_an_entry_script_of_a_figure_reruns_that_figure(study):
    path = study.root / "workflow_scripts/plot_spaghetti.py"
    path.write_text(path.read_text() + "\n# edited\n")
    assert study.stale() == {"plot_spaghetti": 1}


def test_key_order_spelling_of_numbers_and_other_methods_rerun_nothing(study):
    text = study.read("config.yaml")
    text = text.replace(
        "options: {r: 16, lora_alpha: 32, lora_dropout: 0.0}", "options: {lora_dropout: 0.0, lora_alpha: 32, r: 16}"
    )
    text = text.replace(
        "  mean_diff:\n", "  unused:\n    kind: activation\n    estimator: mean_diff\n    depths: [0.2]\n  mean_diff:\n"
    )
    assert "unused" in text
    (study.root / "config.yaml").write_text(text)
    assert study.stale() == {}


def test_another_method_in_the_study_adds_its_own_chain(study):
    study.configure(
        study={"methods": ["lora", "mean_diff", "early"]},
        methods={"early": {"kind": "activation", "estimator": "mean_diff", "depths": [0.2]}},
    )
    assert study.stale() == {"fit_repe": 1, **STEERING_CHAIN}


def test_a_prompt_adds_its_own_chain(study):
    study.configure(study={"methods": ["lora", "mean_diff", "simple_prompt"]})
    chain = {"measure_prompt": 1, "rollout_prompt": 1, "kaplan_meier": 1, **ROLLED_OUT, "plot_calibration": 1}
    assert study.stale() == chain  # no fit, and no geometry


def test_a_target_of_its_own_recalibrates_that_method_and_refits_nothing(study):
    study.configure(methods={"lora": {"target": 0.3}})
    assert study.stale() == LORA_CHAIN
    study.configure(methods={"lora": {"target": {"prompt": "simple_prompt"}}})
    assert study.stale() == {"measure_prompt": 1, **LORA_CHAIN}


def test_a_random_control_adds_its_own_chain_and_follows_its_source(study):
    study.configure(study={"methods": ["lora", "mean_diff", "random_direction"]})
    assert study.stale() == {"draw_control": 1, **STEERING_CHAIN}
    touch_module(study, "make/estimators")
    whole = [*FIGURES, "plot_calibration", "tabulate_geometry", "tabulate_texts"]
    twice = {name: count if name in whole else 2 * count for name, count in STEERING_CHAIN.items()}
    assert study.stale() == {"fit_repe": 1, "draw_control": 1, **twice}


def test_a_job_that_is_killed_loses_only_its_own_work(study):
    before = {path: path.read_bytes() for path in sorted(study.root.glob("results/tiny/**/*.parquet"))}
    target = "results/tiny/honesty/seed0/rollouts/mean_diff.tokens.parquet"
    log = study.root / "results/logs/rollout_trajectories/tiny.honesty.seed0.mean_diff.log"
    log.unlink()
    command = [sys.executable, "-m", "snakemake", "--configfile", study.overlay, "--cores", "2", "--force", target]
    run = subprocess.Popen(command, cwd=study.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not log.exists() and run.poll() is None:
        time.sleep(0.05)
    for child in psutil.Process(run.pid).children(recursive=True):
        child.send_signal(signal.SIGKILL)
    assert run.wait() != 0
    assert not (study.root / target).exists()
    study.snakemake(target)
    study.snakemake()
    assert {path: path.read_bytes() for path in before} == before
