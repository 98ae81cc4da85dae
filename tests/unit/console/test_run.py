"""What a user sees of a run: the time that is left, how far a job is, the plan before it."""

import io
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from snakemake.logging import DefaultFormatter
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry
from steerdose.console.follow import follow
from steerdose.console.handler import LogHandler
from steerdose.console.run import Run, Running, Told, clock, plan_table
from steerdose.console.views import Screen
from steerdose.errors import SteerdoseError
from steerdose.flow import progress
from steerdose.study.estimate import Expected

TRAIN, PLOT = Expected(40.0, 1000, 1.5, slots=1), Expected(4.0, 0, None, slots=2)


def test_a_time_in_words():
    said = {3.4: "3 s", 61: "1 min 01 s", 3599: "59 min 59 s", 3600: "1 h 00 min", 90_000: "25 h 00 min"}
    assert {seconds: clock(seconds) for seconds in said} == said
    assert clock(3 * 86400 + 5 * 3600) == "3 days 5 h"


def test_time_left_is_by_the_pace_of_the_jobs_that_are_done():
    run = Run(100.0, {1: TRAIN, 2: TRAIN, 3: PLOT, 4: PLOT})
    assert run.left(100.0) == 40 + 40 + 2 + 2, "of two jobs side by side each makes the run half as long"
    run.running[1] = Running("Train it", "none.log", 100.0)
    assert run.left(110.0) == 30 + 40 + 2 + 2
    run.finish(1)
    assert run.left(180.0) == 2 * (40 + 2 + 2), "twice as slow as expected"
    assert run.headline(180.0) == "1 of 4 jobs, 1 min 20 s, about 1 min 28 s left"
    for job in (2, 3, 4):
        run.finish(job)
    assert run.left(300.0) == 0


def test_what_was_not_planned_has_no_time_left():
    assert Run(0.0).headline(5.0) == "0 jobs, 5 s"


def test_a_job_is_as_far_as_its_log_last_says(tmp_path, monkeypatch, caplog):
    log = tmp_path / "job.log"
    assert Running("m", str(log), 0.0).progress() is None
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.setattr(progress.Count, "tokens", 0)
    seconds = iter(range(100, 200))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    with caplog.at_level(logging.INFO, progress.log.name), progress.Bar(400, "rollouts") as bar:
        for _ in range(3):
            progress.Count.tokens += 70
            bar.update(100)
        bar.reach(350)
    monkeypatch.undo()
    lines = [f"2026-11-29 10:00:00,000 steerdose.flow.progress {message}" for message in caplog.messages]
    log.write_text("\n".join(["something before", *lines[:-1], "a warning behind it"]))
    assert Running("m", str(log), 0.0).progress() == (300, 400, 70)
    assert caplog.messages[-1] == "rollouts: 350 of 400, 0 tokens/s"


def test_a_plan_adds_up_by_rule_and_names_the_longest_first():
    rows = plan_table({1: ("plot_a", PLOT), 2: ("train", TRAIN), 3: ("train", TRAIN), 4: ("plot_b", PLOT)})
    assert rows == [
        ("train", "2", "2,000", "1 min 20 s", "1.5"),
        ("others, without a model", "2", "", "4 s", ""),
        ("all", "4", "2,000", "1 min 24 s", "1.5"),
    ]


@pytest.fixture
def handler(monkeypatch):
    """Return what makes a handler of snakemake's events, and a file that its console writes to; time stands still."""
    monkeypatch.setattr("steerdose.console.handler.time.monotonic", lambda: 1000.0)
    for name in ("wanted", "expect", "planned"):
        monkeypatch.setattr(Told, name, getattr(Told, name))

    def made(dryrun):
        out = io.StringIO()
        monkeypatch.setattr("sys.stderr", out)
        found = LogHandler(SimpleNamespace(stdout=False, dryrun=dryrun, quiet=None), None)
        found.setFormatter(DefaultFormatter())
        return found, out

    return made


def event(kind, message="", level=logging.INFO, **fields):
    record = logging.LogRecord("snakemake", level, "", 0, message, None, None)
    record.__dict__.update({"event": kind, **fields})
    return record


def job(number, rule, log):
    told = {"rule_name": rule, "rule_msg": f"Do {rule}", "wildcards": {"model": "m"}, "log": [log] if log else []}
    return event(LogEvent.JOB_INFO, jobid=number, **told)


def test_events_become_lines(handler, tmp_path):
    found, out = handler(dryrun=False)
    assert Told.wanted
    Told.planned = {1: TRAIN, 2: PLOT}
    log = tmp_path / "train.log"
    log.write_text("x steerdose.flow.progress training: 3 of 32, 812 tokens/s\n")
    found.emit(job(1, "train", str(log)))
    found.run.running[1].start -= 20
    found.emit(event(LogEvent.JOB_FINISHED, job_id=1))
    found.emit(job(0, "all", ""))
    found.emit(event(None, "Building DAG of jobs..."))
    found.emit(event(None, "disk is full", logging.ERROR))
    found.emit(event(None, "Nothing to be done (all requested files are present and up to date)."))
    found.close()
    first, done, *rest = out.getvalue().splitlines()
    assert first == "Do train (0 of 2 jobs, 0 s, about 42 s left)"
    assert done == "  done in 20 s, 812 tokens/s: Do train"
    assert rest == ["disk is full", "Nothing to be done (all requested files are present and up to date)."]


def test_a_dry_run_becomes_a_plan(handler):
    found, out = handler(dryrun=True)
    asked = []
    Told.expect = lambda rule, w: asked.append((rule, w.model)) or TRAIN
    for record in (job(1, "train", "a.log"), job(2, "train", "b.log"), job(0, "all", "")):
        found.emit(record)
    found.close()
    assert asked == [("train", "m")] * 2
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert lines[0] == ["rule", "jobs", "tokens", "time", "GiB"]
    assert lines[-1] == ["all", "2", "2,000", "1", "min", "20", "s", "1.5"]


def test_on_a_terminal_running_jobs_are_drawn(tmp_path, monkeypatch):
    log = tmp_path / "train.log"
    log.write_text("x steerdose.flow.progress training: 16 of 32, 812 tokens/s\n")
    monkeypatch.setattr("steerdose.console.views.time.monotonic", lambda: 1000.0)
    run = Run(1000.0, {1: TRAIN, 2: PLOT}, {1: Running("Train lora", str(log), 1000.0)})
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    console.print(Screen(run, console).picture())
    jobs, head = console.file.getvalue().splitlines()
    assert "Train lora" in jobs
    assert "812 tokens/s" in jobs
    assert head == "0 of 2 jobs, 0 s, about 42 s left"


def test_snakemake_finds_the_logger():
    registry = LoggerPluginRegistry()
    registry.collect_plugins()
    assert registry.get_plugin("steerdose").log_handler is LogHandler


def test_a_run_is_followed_and_its_failure_is_told(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("Snakefile").write_text(
        "rule all:\n    input: 'b'\n\n"
        "rule make_a:\n    output: 'a'\n    log: 'a.log'\n    message: 'Make the first'\n    shell: 'touch {output}'\n"
        "rule make_b:\n    input: 'a'\n    output: 'b'\n    log: 'b.log'\n    shell: 'echo oops >&2; false'\n"
    )
    with pytest.raises(SteerdoseError, match="the workflow stopped; what it said stands above"):
        follow(["--cores", "1"])
    said = capfd.readouterr().err
    assert "Make the first (0 jobs, " in said
    assert "make_b (1 jobs, " in said
    assert "Error in rule make_b" in said
