"""Crashes and damage: whatever is killed or broken, the next run says so, finishes, and ends in the same tables.

A case begins from a finished study of which all that is younger than one random file is gone, as if the run had stood
there. `make test-crash` tries many of each kind (`--cases`), which the suite leaves out.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import chain
from pathlib import Path

import psutil
import pytest
import warm
from conftest import fill
from steerdose.flow.integrity import DIGESTS
from steerdose.flow.records import read_record, update_record

pytestmark = pytest.mark.slow

TABLES = [f"results/tables/{name}.csv" for name in ("survival", "dose", "effects", "deaths", "ablations", "subspaces")]
# Files of a cell that a job reads when what is younger is gone.
READ = (
    "pairs.parquet",
    "steering/lora.safetensors",
    "calibration/jobs/lora.search.json",
    "rollouts/lora.tokens.parquet",
)
HOURS = 3600 * 10**9
KILLS = 3  # one after another, before the run may finish
DAMAGE = {
    "one bit": lambda data, at: data[: at // 8] + bytes([data[at // 8] ^ (1 << at % 8)]) + data[at // 8 + 1 :],
    "cut off": lambda data, at: data[: at // 8],
    "emptied": lambda data, at: b"",
    "zeroed": lambda data, at: bytes(len(data)),
    "removed": None,
}


def passed(study):
    """Return what passes between rules, oldest first: files, and folders that are one output."""
    records = sorted((study.root / "results").rglob(DIGESTS))
    paths = [record.parent / name for record in records for name in read_record(record)]
    inner = [path for path in paths if path.exists() and path.parent.name not in ("figs", "tables", "results")]
    return sorted(inner, key=lambda path: (path.stat().st_mtime_ns, str(path)))


def forget_younger(study, path):
    """Remove what was made after a file, and the tables."""
    time_of = path.stat().st_mtime_ns
    for each in passed(study):
        if each.stat().st_mtime_ns > time_of:
            shutil.rmtree(each) if each.is_dir() else each.unlink()
    for table in (study.root / "results/tables").glob("*.*"):
        if table.suffix != ".json":
            table.unlink()


def damage(path, how, rng):
    """Damage a file, or one of a folder, keeping its time."""
    if path.is_dir():
        path = rng.choice(sorted(each for each in path.rglob("*") if each.is_file() and each.name[0] != "."))
    stat = path.stat()
    if DAMAGE[how] is None:
        path.unlink()
        return
    data = path.read_bytes()
    path.write_bytes(DAMAGE[how](data, rng.randrange(8 * len(data))))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def tables(study):
    return {path: (study.root / path).read_bytes() for path in TABLES}


def finish(study):
    """Run to the end, as a user would: once more where the run says so, unlocked where it says that."""
    said = ""
    for _ in range(3):
        done = study.snakemake(*TABLES, check=False)
        said += done.stdout + done.stderr
        if done.returncode == 0:
            return said
        assert "Traceback" not in said.partition("LockException")[0], said[-6000:]
        if "LockException" in said or "cannot be locked" in said:
            study.snakemake("--unlock")
        else:
            assert "Start the same command again" in said, said[-6000:]
    raise AssertionError(said[-6000:])


@pytest.fixture
def case(study, request):
    """A number of the case, a study that stands at a random place, and what its tables are to be."""
    expected, rng = tables(study), random.Random(request.node.name)
    yield study, rng
    assert tables(study) == expected


def pytest_generate_tests(metafunc):
    if "number" in metafunc.fixturenames:
        metafunc.parametrize("number", range(metafunc.config.getoption("--cases")))


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_is_made_again(case, how, number, tried):
    study, rng = case
    path = rng.choice(passed(study))
    forget_younger(study, path)
    damage(path, how, rng)
    tried("damaged", f"{'folder' if path.is_dir() else path.suffix[1:]} {how}")
    name = str(path.relative_to(study.root))
    said = finish(study)
    assert how == "removed" or f"{name} is damaged; it is set aside" in said


def test_all_that_is_damaged_at_once_is_made_again(case):
    """One file of every kind, each in a way of its own."""
    study, rng = case
    kinds = {(path.parent, path.suffixes[-2:][0] if path.suffix else "", path.suffix): path for path in passed(study)}
    how = {path: rng.choice(list(DAMAGE)) for path in kinds.values()}
    told = [str(path.relative_to(study.root)) for path in how if path.is_dir() or how[path] != "removed"]
    for path in how:
        damage(path, how[path], rng)
    for table in TABLES:
        (study.root / table).unlink()
    said = finish(study)
    assert [name for name in told if f"{name} is damaged; it is set aside" not in said] == []


def test_rot_that_no_time_shows_is_found_by_the_job_that_reads_it(case, number):
    study, rng = case
    path = study.root / f"results/tiny/honesty/seed0/{rng.choice(READ)}"
    forget_younger(study, path)
    damage(path, "one bit", rng)
    known = read_record(path.parent / DIGESTS)[path.name]
    times = {"modified": path.stat().st_mtime_ns, "changed": path.stat().st_ctime_ns}
    update_record(path.parent / DIGESTS, {path.name: {**known, **times}})
    said = finish(study)
    assert f"cannot use {path.relative_to(study.root)}" in said


@pytest.mark.parametrize("victim", ["job", "snakemake", "both"])
def test_what_is_killed_goes_on(case, victim, number, tried):
    kill(*case, victim, tried)


def test_a_run_that_is_killed_with_its_jobs_goes_on(case, tried):
    kill(*case, "both", tried)


def kill(study, rng, victim, tried):
    """Kill a run, its jobs or both at random moments until it is done or was killed `KILLS` times, and finish it."""
    forget_younger(study, rng.choice(passed(study)))
    command = [sys.executable, "-c", warm.COMMAND, study.python, "--configfile", study.overlay, "--cores", "2", *TABLES]
    for _ in range(KILLS):
        run = subprocess.Popen(command, cwd=study.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with suppress(subprocess.TimeoutExpired):
            run.wait(rng.uniform(3, 15))
        jobs = jobs_of(study)
        while victim != "snakemake" and not jobs and run.poll() is None:
            time.sleep(rng.uniform(0, 0.5))
            jobs = jobs_of(study)
        if run.poll() is not None:
            break
        struck = ({} if victim == "snakemake" else jobs) | ({} if victim == "job" else {run.pid: "snakemake"})
        for pid in struck:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        tried("killed", *struck.values())
        run.wait()
        if victim != "job":
            study.snakemake("--unlock")
    finish(study)


def jobs_of(study):
    """Return the jobs that run now, rules by process: children of the server, in the study's folder."""
    address = str(Path(study.python).parent / "socket")
    servers = [each for each in psutil.process_iter(["cmdline"]) if (each.info["cmdline"] or [""])[-1] == address]
    found = {each.pid: _rule(each, study.root) for each in chain.from_iterable(each.children() for each in servers)}
    return {pid: rule for pid, rule in found.items() if rule}


def _rule(process, root):
    """Return the rule of a job of a study, from the log that it writes; None where it has none yet or is no job."""
    logs = root / "results/logs"
    with suppress(psutil.Error):
        paths = [Path(each.path) for each in process.open_files()]
        names = (path.relative_to(logs).parts[0] for path in paths if path.is_relative_to(logs))
        return next((name.removesuffix(".log") for name in names), None)


def test_two_runs_at_once_do_not_spoil_one_another(case):
    study, rng = case
    forget_younger(study, rng.choice(passed(study)))
    command = [sys.executable, "-c", warm.COMMAND, study.python, "--configfile", study.overlay, "--cores", "1", *TABLES]
    runs = [
        subprocess.Popen(command, cwd=study.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    said = [run.communicate()[0] for run in runs]
    codes = [run.returncode for run in runs]
    assert 0 in codes, said
    assert all(code == 0 or "lock" in text for code, text in zip(codes, said, strict=True)), said
    finish(study)


def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(study, small_disk, number, request):
    """The disk fills up anywhere, also where a log is written."""
    expected, rng = tables(study), random.Random(request.node.name)
    study = study.copy(small_disk / "study")
    forget_younger(study, rng.choice(passed(study)[:-10]))
    full = fill(small_disk, rng.randrange(300_000))
    done = study.snakemake(*TABLES, check=False)
    assert done.returncode
    assert "No space left on device" in done.stdout + done.stderr, done.stdout + done.stderr
    full.unlink()
    finish(study)
    assert tables(study) == expected


def test_a_clock_that_goes_back_spoils_nothing(case, number):
    """What is there is three hours younger than what is made now."""
    study, rng = case
    forget_younger(study, rng.choice(passed(study)))
    for path in (study.root / "results").rglob("*"):
        stat = path.stat()
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 3 * HOURS))
    assert "were from the future (did the clock go back?)" in finish(study)
