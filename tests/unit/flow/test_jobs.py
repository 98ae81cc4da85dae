"""The seam between Snakemake and the library: logs, exit codes, digests of code, seeds, files."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from steerdose.files import replacing
from steerdose.flow import digests
from steerdose.flow.digests import LIBRARY, code_digest, imported_modules
from steerdose.seeds import seed_from

SCRIPTS = sorted(LIBRARY.parent.glob("*.py"))
ENTRY = """
import json, logging, os, subprocess, sys
from types import SimpleNamespace
sys.path.insert(0, {library!r})
from steerdose.errors import SteerdoseError
from steerdose.flow.jobs import open_job
snakemake = SimpleNamespace(
    log=[{log!r}], threads=3, rule="some_rule", input=["in"], output=["out"],
    params={{"settings": '{{"window": 8}}'}},
    wildcards={{"model": "m", "behavior": "b", "seed": "07", "method": "lora", "sign": "positive"}},
)
with open_job(snakemake) as job:
    {body}
"""


@pytest.fixture
def run(tmp_path):
    """Run an entry script with this body; return the process and the log."""

    def start(body, rerun=True):
        log = tmp_path / "job.log"
        if rerun:
            log.write_text("what an earlier run left behind\n" * 100)
        (tmp_path / "entry.py").write_text(ENTRY.format(library=str(LIBRARY.parent), log=str(log), body=body))
        done = subprocess.run([sys.executable, tmp_path / "entry.py"], capture_output=True, text=True, check=False)
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
    assert "{'window': 8}" in lines[0]


def test_a_job_hands_plain_values_on(run):
    body = """
    cell = {"model": "m", "behavior": "b", "seed": 7, "method": "lora"}
    assert job.cell == cell and job.settings == {"window": 8} and job.output == ["out"]
    assert job.metadata == {"model": "m", "behavior": "b", "seed": "7", "config": '{"window": 8}'}
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


def test_a_log_is_not_executable(run, tmp_path):
    run("pass", rerun=False)
    assert not (tmp_path / "job.log").stat().st_mode & 0o111


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A library of two rooms and a script that uses most of it, in every way of importing."""
    sources = {
        "__init__": "",
        "room/__init__": "",
        "room/a": "from .b import x\nimport json\n",
        "room/b": "def f():\n    from . import c\n    return c\n",
        "room/c": "from ..far import up\n",
        "far/__init__": "from steerdose.far.up import y\n",
        "far/up": "UP = 1\n",
        "d": "from numpy import array\nimport steerdose.room.e\n",
        "room/e": "E = 1\n",
        "flow/__init__": "",
        "flow/bar": "BAR = 1\n",
        "room/unused": "from .c import C\n",
    }
    for name, text in sources.items():
        path = tmp_path / f"steerdose/{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "script.py").write_text(
        "from steerdose.room.a import x\nfrom steerdose.flow.bar import b\nif b:\n    from steerdose import d\n"
    )
    monkeypatch.setattr(digests, "LIBRARY", tmp_path / "steerdose")
    digests.direct_imports.cache_clear()
    yield tmp_path
    digests.direct_imports.cache_clear()


def test_imported_modules_are_the_transitive_imports(package):
    found = {str(path.relative_to(package / "steerdose")) for path in imported_modules(package / "script.py")}
    rooms = {"room/__init__.py", "far/__init__.py", "flow/__init__.py"}
    assert found == {"room/a.py", "room/b.py", "room/c.py", "room/e.py", "far/up.py", "d.py", "flow/bar.py", *rooms}


@pytest.mark.parametrize(
    ("edited", "changes"),
    [
        *[(name, True) for name in ("room/a", "room/b", "room/c", "room/e", "far/up", "far/__init__", "d")],
        *[(name, False) for name in ("room/unused", "flow/bar", "../script")],
    ],
)
def test_the_digest_follows_the_modules_that_are_used(package, edited, changes):
    before = code_digest(package / "script.py")
    path = package / "steerdose" / f"{edited}.py"
    path.write_text(path.read_text() + "# a comment\n")
    digests.direct_imports.cache_clear()
    assert (code_digest(package / "script.py") != before) == changes


@pytest.mark.parametrize(
    ("script", "used", "unused"),
    [
        ("plot_survival", {"figures/survival.py", "files.py"}, {"engine", "survival", "model"}),
        ("rollout_trajectories", {"steering/steering.py", "engine/generate.py"}, {"figures", "make", "survival"}),
        ("kaplan_meier", {"survival/kaplan_meier.py"}, {"model", "steering", "figures"}),
        ("train_adapter", {"make/adapters.py", "model/loading.py"}, {"figures", "engine", "survival"}),
    ],
)
def test_what_a_script_depends_on(script, used, unused):
    names = {str(path.relative_to(LIBRARY)) for path in imported_modules(LIBRARY.parent / f"{script}.py")}
    assert used | {"flow/jobs.py", "errors.py"} <= names
    assert not {name.partition("/")[0] for name in names} & unused


@pytest.mark.parametrize("script", ["kaplan_meier", "plot_survival", "tabulate_survival", "set_threshold"])
def test_scripts_without_a_model_do_not_import_torch(script):
    modules = imported_modules(LIBRARY.parent / f"{script}.py")
    assert modules
    assert not [path.name for path in modules for name in top_level_names(path) if name in ("torch", "transformers")]


def top_level_names(path):
    """Yield the first part of every absolute import of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def test_only_jobs_knows_snakemake():
    knowing = [path.name for path in LIBRARY.rglob("*.py") if "snakemake" in path.read_text()]
    assert knowing == ["jobs.py"]


def test_seeds_are_stable_numbers():
    assert seed_from("pairs", "smollm2", "honesty", 0) == 1433932124
    assert seed_from("pairs/smollm2/honesty/0") == 1433932124
    seeds = {seed_from(i) for i in range(1000)}
    assert len(seeds) == 1000
    assert max(seeds) < 2**31


@pytest.mark.parametrize("old", ["file", "folder", None])
@pytest.mark.parametrize("fails", [True, False])
def test_replacing_is_all_or_nothing(tmp_path, old, fails):
    path = tmp_path / "made/result.txt"
    if old:
        path.parent.mkdir()
        content = path
        if old == "folder":
            path.mkdir()
            content = path / "inner.txt"
        content.write_text("old")
    try:
        with replacing(path) as temporary:
            assert (temporary.suffix, temporary.parent.parent) == (path.suffix, path.parent)
            temporary.write_text("new")
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert [found.name for found in path.parent.iterdir()] == (["result.txt"] if old or not fails else [])
    if not fails:
        assert path.read_text() == "new"
    elif old:
        assert content.read_text() == "old"


def test_replacing_takes_folders(tmp_path):
    for text in ("first", "second"):
        with replacing(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / text).write_text(text)
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*")] == [Path("folder"), Path("folder/second")]
