"""A job lives no longer than its run: real processes, one of which is killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from steerdose.flow.orphans import VARIABLE

LIBRARY = Path(__file__).parent.parent.parent.parent / "workflow_scripts"
JOB = (
    "import time; from steerdose.flow.orphans import follow; follow(); print('job', flush=True); time.sleep({seconds})"
)
BETWEEN = "import subprocess, sys; subprocess.run([sys.executable, '-c', {job!r}]); print('job ended', flush=True)"
RUN = """\
import subprocess, sys, time
from steerdose.flow.orphans import lead
lead()
subprocess.run([sys.executable, "-c", {between!r}])
time.sleep(60)
"""

BOTH = """\
import os, threading
from steerdose.flow.orphans import VARIABLE, follow, lead
follow()
n_threads = threading.active_count()
lead()
print(n_threads, os.environ[VARIABLE] == str(os.getpid()))
"""


@pytest.fixture
def run():
    """Start a run with a process between it and its job, which takes so many seconds; wait until the job is there."""
    started = []

    def start(seconds):
        code = RUN.format(between=BETWEEN.format(job=JOB.format(seconds=seconds)))
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
            env={**environment, "PYTHONPATH": str(LIBRARY)},
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "job\n"
        return process

    yield start
    for each in started:
        each.kill()
        each.wait()


def test_a_job_ends_with_its_run_and_before_it_what_stands_between_them(run):
    process = run(seconds=30)
    process.kill()
    start = time.monotonic()
    rest = process.stdout.read()  # until all that hold the stream are gone
    assert time.monotonic() - start < 15
    assert rest == "", "what waited for the job never saw it fail"


def test_a_job_whose_run_lives_comes_to_its_end(run):
    assert run(seconds=3).stdout.readline() == "job ended\n"


def test_a_run_that_is_gone_or_cannot_be_seen_is_not_followed_and_the_next_leads(run):
    gone = run(seconds=0)
    gone.kill()
    gone.wait()
    for living, given in ((False, ""), (False, str(gone.pid)), (True, str(os.getpid()))):
        environment = {**os.environ, VARIABLE: given, "PYTHONPATH": str(LIBRARY)}
        done = subprocess.run([sys.executable, "-c", BOTH], env=environment, check=True, capture_output=True, text=True)
        assert done.stdout == ("2 False\n" if living else "1 True\n")
