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
# What is changed, the rule that fails and how, and a file of the run that follows with a text that is to be in it.
CHANGES = {
    "behind a new threshold": (
        {"survival": {"threshold": {"value": 0.3}}},
        "kaplan_meier",
        "kill -9 $$",
        ("results/tiny/probe/threshold.json", '"value": 0.3'),
    ),
    "with new params": (
        {"survival": {"confidence": 0.8}},
        "kaplan_meier",
        "exit 1",
        (f"{CELL}/survival/lora.curve.parquet", '"confidence": 0.8'),
    ),
    "whose file is put back": (
        {"rollout": {"n_questions": 3}},
        "rollout_trajectories",
        "exit 1",
        (f"{CELL}/rollouts/jobs/lora.0.forks.parquet", '"n_questions": 3'),
    ),
    "far from the figure": (
        {"methods": {"lora": {"training": {"learning_rate": 0.5}}}},
        "train_adapter",
        "exit 1",
        (f"{CELL}/adapters/lora.positive/content", '"learning_rate": 0.5'),
    ),
}


@pytest.mark.parametrize("job", CHANGES)
def test_a_failed_job_is_made_again(symbols, job):
    changes, rule, end, (path, text) = CHANGES[job]
    before = symbols.read(FIGURE)
    symbols.configure(**changes)
    stop = symbols.root / "break" / rule
    stop.write_text(end)
    assert symbols.snakemake(FIGURE, check=False).returncode != 0
    assert symbols.read(FIGURE) == before
    stop.unlink()
    symbols.snakemake(FIGURE)
    assert text in symbols.read(path)
    assert symbols.read(FIGURE) != before
    assert symbolic.outdated(symbols.root, FIGURE) == set()


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
        symbols.snakemake("--unlock")
    symbols.snakemake(FIGURE)
    for method in ("lora", "mean_diff"):
        assert '"n_questions": 3' in symbols.read(f"{CELL}/rollouts/jobs/{method}.0.forks.parquet")
    assert symbolic.outdated(symbols.root, FIGURE) == set()


def _wait_for(path):
    for _ in range(6000):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} was not written in five minutes")
