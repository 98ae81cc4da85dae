"""The Slurm profile, as far as it can be told without Slurm, and the threads of a job that runs the model."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SETUP = ["Snakefile", "config.yaml", "envs", "report", "profiles", "data"]
TARGET = "results/models/smollm2"  # of a rule with the threads of a job that runs the model
REPORTS_ITS_THREADS = """\
from pathlib import Path

Path(snakemake.output[0]).mkdir(parents=True)
Path(snakemake.output[0], "threads").write_text(str(snakemake.threads))
"""


@pytest.fixture
def place(tmp_path):
    for name in SETUP:
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("rules", "workflow_scripts"):  # a rule finds its script from where it really lies
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def run(place, *arguments, **jobs):
    """Run snakemake with the plugin's stand-in and `jobs` laid over the config; return its exit status and output."""
    (place / "mine.yaml").write_text(yaml.safe_dump({"jobs": jobs}))
    call = [sys.executable, "-m", "snakemake", "--configfile", "mine.yaml", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests/plugins")}
    done = subprocess.run(call, cwd=place, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def on_slurm(place, *arguments, **jobs):
    return run(place, "--workflow-profile", "profiles/slurm", *arguments, **jobs)


def test_the_profile_plans_the_study(place):
    status, said = on_slurm(place, "-n", threads=8)
    assert status == 0 and "rollout_trajectories" in said, said


@pytest.mark.parametrize("gpus", [0, 2])
def test_a_job_takes_what_it_asks_for_from_the_config(place, gpus):
    (place / TARGET).mkdir(parents=True)
    asked = {"threads": 8, "gpus": gpus, "mem_mb": 7000, "runtime": 90, "partition": "big"}
    _, said = on_slurm(place, "--", "results/smollm2/probe/rolled_out.json", **asked)
    for resource in ("'mem_mb': 7000", "'runtime': 90", "'slurm_partition': 'big'"):
        assert resource in said
    assert "audit_probe with 8 threads" in said
    assert ("'gpu': 2" in said) == (gpus == 2) and ("'gpu'" in said) == (gpus > 0), said


def test_a_cluster_without_threads_is_told_which_key_is_missing(place):
    status, said = on_slurm(place, "--", TARGET, gpus=0)
    assert status != 0
    assert "jobs.threads: a cluster has no number of cores" in said and "total number of cores" not in said


@pytest.mark.parametrize(("jobs", "threads"), [({}, "3"), ({"threads": 2}, "2")])
def test_on_one_machine_a_job_has_the_cores_or_what_the_config_says(place, jobs, threads):
    (place / "workflow_scripts/resolve_model.py").write_text(REPORTS_ITS_THREADS)
    status, said = run(place, "--cores", "3", "--", TARGET, **jobs)
    assert status == 0, said
    assert (place / TARGET / "threads").read_text() == threads
