"""A small study through a real Slurm, as docs/cluster.md says, with every way to be interrupted: `make test-slurm`."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

pytest.importorskip("snakemake_executor_plugin_slurm_jobstep", reason="pip install -r requirements-slurm.txt")
if os.geteuid() or not shutil.which("slurmctld"):
    pytest.skip("needs root and Debian's packages slurm-wlm and munge", allow_module_level=True)

import tiny
from conftest import make_workspace
from slurm_cluster import queue, slurm

TABLES = [f"results/tables/{name}.csv" for name in ("survival", "effects", "dose")]
JOBS = {"threads": 1, "gpus": 1, "mem_mb": 3000, "runtime": 5, "partition": "gpus", "batches": 1, "methods": 1}
PARTS = {"kind": "parts", "of": "lora", "by": "role", "names": ["writers", "readers"]}
SLURM = ["--workflow-profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "5"]
LONGEST = 1200  # seconds until something that is waited for is said not to come


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with slurm(tmp_path_factory.mktemp("slurm")):
        yield


def place(root):
    study = make_workspace(root, "tiny.yaml")
    tiny.save(study.root / "tiny_model")
    study.configure(
        study={"methods": ["lora", "lora_roles", "mean_diff"], "tasks": ["knowledge"]},
        methods={"lora_roles": PARTS},
        rollout={"n_questions": 6, "batch_size": 6},
        ablations={"methods": []},
        subspaces={"methods": [], "causal": []},
        jobs=JOBS,
    )
    return study


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The bytes of the tables of a run on this machine alone."""
    study = place(tmp_path_factory.mktemp("local"))
    study.snakemake(*TABLES)
    return {path: study.read(path) for path in TABLES}


def command(study, *options):
    return [sys.executable, "-m", "snakemake", *SLURM, "--configfile", study.overlay, *options, "--", *TABLES]


def start(study, *options):
    log = (study.root / "said").open("w")
    return subprocess.Popen(command(study, *options), cwd=study.root, stdout=log, stderr=subprocess.STDOUT)


def wait_for(what):
    """Return what a function finds, as soon as it finds something."""
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.2)
    raise AssertionError("it did not come")


def running(rule):
    """Return the Slurm ids of the jobs of a rule that run now; the plugin says the rule in a job's comment."""
    jobs = queue("JobID", "State", "Comment")
    return [number for number, state, comment in jobs if state == "RUNNING" and comment.startswith(f"rule_{rule}")]


def states():
    return {state for (state,) in queue("State")}


def process_of(study, rule):
    """Return the process of a rule's script in the study's folder."""
    for each in psutil.process_iter(["cmdline", "cwd"]):
        if each.info["cwd"] == str(study.root) and f".{rule}.py" in " ".join(each.info["cmdline"] or ()):
            return each
    return None


def test_a_study_that_is_cancelled_and_killed_and_runs_out_of_time_ends_in_the_same_bytes(tmp_path, cluster, expected):
    study = place(tmp_path / "study")

    run = start(study)  # a job is cancelled half-way
    subprocess.run(["scancel", wait_for(lambda: running("train_adapter"))[0]], check=True)
    assert run.wait(LONGEST) == 1
    assert "Error in rule train_adapter" in study.read("said")

    run = start(study, "--set-resources", "merge_diff:runtime=1")  # a job hangs until its time is over
    wait_for(lambda: process_of(study, "merge_diff")).suspend()
    assert run.wait(LONGEST) == 1
    assert "TIMEOUT" in states()

    run = start(study)  # snakemake is killed, and its jobs run on
    wait_for(lambda: running("calibrate_alpha"))
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert running("calibrate_alpha")
    subprocess.run(["scancel", "--user=root"], check=True)
    wait_for(lambda: not {"RUNNING", "COMPLETING", "PENDING"} & states())
    study.snakemake("--unlock")

    assert start(study).wait(LONGEST) == 0, study.read("said")
    assert {path: study.read(path) for path in TABLES} == expected
    done = subprocess.run(command(study, "-n"), cwd=study.root, capture_output=True, text=True, check=True)
    assert "Nothing to be done" in done.stdout + done.stderr
    jobs = queue("Comment", "Partition", "NodeList", "tres-per-job")
    rolled_out = [job[1:] for job in jobs if job[0].startswith("rule_rollout_trajectories")]
    assert len(rolled_out) >= 4, "parts of the questions, and groups of methods, are jobs of their own"
    partitions, nodes, resources = map(set, zip(*rolled_out, strict=True))
    assert (partitions, nodes, resources) == ({"gpus"}, {"n1", "n2"}, {"gres:gpu:1"})


def test_a_cluster_without_the_partition_that_is_asked_for_says_so(tmp_path, cluster):
    study = place(tmp_path / "study")
    study.configure(jobs={"partition": "elsewhere"})
    done = subprocess.run(command(study), cwd=study.root, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "invalid partition specified: elsewhere" in done.stdout + done.stderr


def test_the_profile_is_what_the_page_says(tmp_path):
    profile = yaml.safe_load((Path(__file__).parents[2] / "profiles/slurm/config.yaml").read_text())
    assert (profile["executor"], profile["slurm-status-command"]) == ("slurm", "squeue")
