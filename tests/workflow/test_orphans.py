"""A snakemake that is killed takes its jobs with it."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from steerdose.flow.orphans import VARIABLE

pytestmark = pytest.mark.slow

ADAPTER = "results/tiny/honesty/seed0/adapters/lora.positive"


def test_a_training_does_not_outlive_its_snakemake(fresh):
    fresh.configure(methods={"lora": {"training": {"steps": 100_000}}})
    command = [sys.executable, "-m", "snakemake", "--configfile", fresh.overlay, "--cores", "1", "--", ADAPTER]
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    run = subprocess.Popen(
        command, cwd=fresh.root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    log = fresh.root / "results/logs/train_adapter/tiny.honesty.seed0.lora.positive.log"
    try:
        wait_for(lambda: log.exists() and "training:" in log.read_text(), 240)
        below = psutil.Process(run.pid).children(recursive=True)
    finally:
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    assert any("train_adapter" in " ".join(each.cmdline()) for each in below)
    wait_for(lambda: not any(alive(each) for each in below), 60)
    assert "is gone" in log.read_text()
    assert not (fresh.root / ADAPTER / "adapter_model.safetensors").exists()


def wait_for(what, seconds):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.5)


def alive(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
