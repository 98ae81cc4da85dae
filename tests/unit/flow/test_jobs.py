"""The seam between snakemake and the library: logs, exit codes, and the step from a rule to a function call."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.iocontainers import InputFiles, OutputFiles, Params, Wildcards
from steerdose.columns import Cell
from steerdose.flow.digests import LIBRARY
from steerdose.flow.jobs import Job
from steerdose.study.base import Part

ENTRY = """
import json, logging, os, subprocess, sys
from pathlib import Path
from types import SimpleNamespace
from snakemake.iocontainers import InputFiles, OutputFiles, Params, Wildcards
sys.path.insert(0, {library!r})
from steerdose.errors import SteerdoseError
from steerdose.flow.jobs import open_job
snakemake = SimpleNamespace(
    log=[{log!r}], threads=3, rule="some_rule", input=InputFiles(fromdict={{"table": "in"}}),
    output=OutputFiles(fromdict={{"made": {made!r}}}),
    params=Params(fromdict={{"settings": '{{"window": 8}}'}}),
    wildcards=Wildcards(fromdict={{"model": "m", "behavior": "b", "seed": "07", "method": "lora", "sign": "positive"}}),
)
with open_job(snakemake) as job:
    {body}
"""


def enter(folder, log, body):
    script = folder / "entry.py"
    script.write_text(ENTRY.format(library=str(LIBRARY.parent), log=str(log), made=str(folder / "made"), body=body))
    return subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)


@pytest.fixture
def run(tmp_path):
    """Run an entry script with this body; return the process and the log."""

    def start(body, rerun=True):
        log = tmp_path / "job.log"
        if rerun:
            log.write_text("what an earlier run left behind\n" * 100)
        done = enter(tmp_path, log, body)
        assert done.stdout == done.stderr == "", "output that is not in the log"
        assert "earlier run" not in log.read_text()
        return done.returncode, log.read_text()

    return start


def test_all_output_lands_in_the_log(run):
    body = """
    print("printed")
    sys.stderr.write("to stderr\\n")
    os.write(1, b"from native code\\n")
    logging.getLogger("steerdose.some").info("logged")
    subprocess.run([sys.executable, "-c", "import sys; print('child'); print('child error', file=sys.stderr)"])
    """
    code, log = run(body)
    assert code == 0
    lines = log.splitlines()
    for line in ("printed", "to stderr", "from native code", "child", "child error"):
        assert lines.count(line) == 1
    assert any(line.endswith("steerdose.some logged") for line in lines)
    assert "some_rule" in lines[0]
    assert '{"window": 8}' in lines[0]


def test_threads_are_set_and_the_cell_is_that_of_the_wildcards(run):
    body = """
    from steerdose.columns import Cell
    assert job.cell == Cell("m", "b", 7, "lora")
    assert {os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")} == {"3"}
    """
    code, log = run(body)
    assert code == 0, log


def test_a_user_error_is_one_line(run):
    code, log = run("raise SteerdoseError('give another probe')")
    assert code == 1
    assert log.splitlines()[1:] == [log.splitlines()[-1]]
    assert log.endswith("give another probe\n")
    assert "Traceback" not in log


@pytest.mark.parametrize("body", ["raise ValueError('a bug')", "import no_such_module"])
def test_any_other_error_leaves_its_traceback(run, body):
    code, log = run(body)
    assert code == 1
    assert "Traceback (most recent call last)" in log
    assert log.splitlines()[-1] in ("ValueError: a bug", "ModuleNotFoundError: No module named 'no_such_module'")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_what_a_full_disk_keeps_from_the_log_is_told_on_the_terminal(tmp_path):
    done = enter(tmp_path, "/dev/full", "Path('/dev/full').write_text('a result')")
    assert done.returncode == 1
    assert done.stderr.endswith("OSError: [Errno 28] No space left on device\n")
    done = enter(tmp_path, "/dev/full", "raise SteerdoseError('give another probe')")
    assert (done.returncode, done.stderr) == (1, "give another probe\n")


def test_a_log_is_not_executable(run, tmp_path):
    run("pass", rerun=False)
    assert not (tmp_path / "job.log").stat().st_mode & 0o111


class Window(Part):
    """Settings of the rule in these tests."""

    window: int


def job(rule="measure", **changes):
    """A job as snakemake describes it to a script."""
    parts = {
        "input": {"table": "in.parquet", "many": ["a.json", "b.json"], "none": []},
        "output": {"made": "out.json"},
        "wildcards": {"model": "m", "behavior": "b", "seed": "07", "alpha": "-1.5", "sign": "negative"},
        "params": {"settings": '{"window": 8}', "code": "0123", "number": 3},
    } | changes
    kinds = {"input": InputFiles, "output": OutputFiles, "wildcards": Wildcards, "params": Params}
    return Job(
        SimpleNamespace(
            rule=rule, log=["job.log"], **{name: kind(fromdict=parts[name]) for name, kind in kinds.items()}
        )
    )


def called(function, **changes):
    """What a job calls the function with; the function returns nothing, as those of the library."""
    found = []
    function.__globals__["seen"] = found.append
    job(**changes).run(function)
    return found[0]


def test_files_go_by_the_names_of_the_rule_lists_as_lists():
    def measure(*, table: str, many: list[str], none: list[str], made: str) -> None:
        seen((table, many, none, made))  # noqa: F821

    table, many, none, made = called(measure)
    assert (table, many, none, made) == ("in.parquet", ["a.json", "b.json"], [], "out.json")
    assert [type(each) for each in (many, none)] == [list, list]


def test_wildcards_and_params_have_the_types_that_the_function_declares():
    def measure(*, alpha: float, sign: str, seed: int, number: int) -> None:
        seen((alpha, sign, seed, number))  # noqa: F821

    found = called(measure)
    assert found == (-1.5, "negative", 7, 3)
    assert [type(each) for each in found] == [float, str, int, int]


def test_settings_come_typed_and_the_cell_as_one():
    def measure(*, settings: Window, cell: Cell) -> None:
        seen((settings, cell))  # noqa: F821

    settings, cell = called(measure)
    assert settings == Window(window=8)
    assert cell == Cell("m", "b", 7, None)


def test_a_rule_of_a_model_has_a_cell_of_its_model_alone():
    def measure(*, cell: Cell) -> None:
        seen(cell)  # noqa: F821

    cell = called(measure, wildcards={"model": "m", "probes": "others"})
    assert (cell, cell.parts) == (Cell("m"), ("m",))


def test_what_a_function_does_not_take_is_left_out():
    def measure(*, made: str) -> None:
        seen(made)  # noqa: F821

    assert called(measure) == "out.json"


def test_a_function_that_asks_for_what_the_rule_has_not_is_a_bug_that_is_named():
    def measure(*, tables: str) -> None:
        raise AssertionError("called")

    with pytest.raises(TypeError, match="rule measure has no input, output, wildcard or param named 'tables'"):
        job().run(measure)


def test_a_job_leaves_a_record_of_what_it_was_made_by(run, tmp_path):
    code, log = run("open(job.outputs[0], 'w').close()")
    assert code == 0, log
    (entry,) = json.loads((tmp_path / "provenance.json").read_text()).values()
    assert entry["rule"] == "some_rule"
    assert entry["settings"] == {"window": 8}


def test_only_flow_and_console_know_snakemake():
    files = [
        path for path in LIBRARY.rglob("*.py") if re.search(r"^\s*(from|import) snakemake", path.read_text(), re.M)
    ]
    assert {path.parent.name for path in files} == {"flow", "console"}
