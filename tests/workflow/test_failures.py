"""After a job that failed or was stopped, the same command never stands by what was there before."""

import signal
import subprocess
import sys
import time

import pytest
import symbolic

pytestmark = pytest.mark.slow

FIGURE = "results/figs/survival.png"
CELL = "results/tiny/honesty/seed0"
# What is changed, the rule that fails, and a file of that rule with the text that is to be in it afterwards.
CHANGES = {
    "new inputs": (
        {"survival": {"threshold": {"value": 0.3}}},
        "set_threshold",
        ("results/tiny/probe/threshold.json", '"value": 0.3'),
    ),
    "behind new inputs": (
        {"survival": {"threshold": {"value": 0.3}}},
        "kaplan_meier",
        ("results/tiny/probe/threshold.json", '"value": 0.3'),
    ),
    "new params": (
        {"survival": {"confidence": 0.8}},
        "kaplan_meier",
        (f"{CELL}/survival/lora.curve.parquet", '"confidence": 0.8'),
    ),
    "a file that is put back": (
        {"rollout": {"n_questions": 3}},
        "rollout_trajectories",
        (f"{CELL}/rollouts/jobs/lora.0.forks.parquet", '"n_questions": 3'),
    ),
    "far from the figure": (
        {"methods": {"lora": {"training": {"learning_rate": 0.5}}}},
        "train_adapter",
        (f"{CELL}/adapters/lora.positive/content", '"learning_rate": 0.5'),
    ),
}


@pytest.mark.parametrize("end", ["exit 1", "kill -9 $$"])
@pytest.mark.parametrize("what", CHANGES)
def test_a_failed_job_is_made_again(symbols, what, end):
    changes, rule, (path, text) = CHANGES[what]
    if end != "exit 1" and what != "behind new inputs":
        pytest.skip("how a job ends is nothing to the file")
    before = symbols.read(FIGURE)
    symbols.configure(**changes)
    stop = symbols.root / "break" / rule
    stop.write_text(end)
    for _ in range(2):
        assert symbols.snakemake(FIGURE, check=False).returncode != 0
        assert symbols.read(FIGURE) == before
    stop.unlink()
    symbols.snakemake(FIGURE)
    assert text in symbols.read(path)
    assert symbols.read(FIGURE) != before
    symbols.snakemake("--cores", "4")
    assert symbolic.outdated(symbols.root, *symbolic.results(symbols.root)) == set()
    assert symbols.stale() == {}


def test_a_figure_that_a_failed_job_does_not_concern_is_left_alone(symbols):
    symbols.configure(rollout={"n_questions": 3})
    (symbols.root / "break/rollout_trajectories").write_text("exit 1")
    assert symbols.snakemake(FIGURE, check=False).returncode != 0
    assert symbols.stale("results/figs/training.png") == {}


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_goes_on(symbols, stop):
    before = symbols.read(FIGURE)
    symbols.configure(rollout={"n_questions": 3})
    (symbols.root / "break/rollout_trajectories").write_text("touch started; sleep 2; touch ended")
    command = [sys.executable, "-m", "snakemake", "--configfile", symbols.overlay, "--cores", "1", FIGURE]
    run = subprocess.Popen(command, cwd=symbols.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for(symbols.root / "started")
    run.send_signal(stop)
    assert run.wait() != 0
    _wait_for(symbols.root / "ended")
    assert symbols.read(FIGURE) == before
    (symbols.root / "break/rollout_trajectories").unlink()
    if stop == signal.SIGKILL:
        assert symbols.snakemake(FIGURE, check=False).returncode != 0  # the folder is still locked
        symbols.snakemake("--unlock")
    symbols.snakemake(FIGURE)
    for method in ("lora", "mean_diff"):
        assert '"n_questions": 3' in symbols.read(f"{CELL}/rollouts/jobs/{method}.0.forks.parquet")
    symbols.snakemake("--cores", "4")
    assert symbolic.outdated(symbols.root, *symbolic.results(symbols.root)) == set()


def _wait_for(path):
    while not path.exists():
        time.sleep(0.05)
