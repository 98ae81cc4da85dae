"""The seam between Snakemake and the library: logs, exit codes, digests of code, seeds, files."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from steerdose import digests
from steerdose.digests import LIBRARY, code_digest, imported_modules
from steerdose.seeds import seed_from
from steerdose.tables import replacing

SCRIPTS = sorted(LIBRARY.parent.glob("*.py"))
ENTRY = """
import json, logging, os, subprocess, sys
from types import SimpleNamespace
sys.path.insert(0, {library!r})
from steerdose.errors import SteerdoseError
from steerdose.jobs import open_job
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
    """A library of five modules and a script that uses four of them, in every way of importing."""
    library = tmp_path / "steerdose"
    library.mkdir()
    sources = {
        "__init__": "",
        "a": "from .b import x\nimport json\n",
        "b": "def f():\n    from . import c\n    return c\n",
        "c": "C = 1\n",
        "d": "from numpy import array\n",
        "unused": "from .c import C\n",
    }
    for name, text in sources.items():
        (library / f"{name}.py").write_text(text)
    (tmp_path / "script.py").write_text("import os\nfrom steerdose.a import x\nif os:\n    from steerdose import d\n")
    monkeypatch.setattr(digests, "LIBRARY", library)
    imported_modules.cache_clear()
    yield tmp_path
    imported_modules.cache_clear()


def test_imported_modules_are_the_transitive_imports(package):
    assert {path.name for path in imported_modules(package / "script.py")} == {"a.py", "b.py", "c.py", "d.py"}


@pytest.mark.parametrize(
    ("edited", "changes"),
    [("a", True), ("b", True), ("c", True), ("d", True), ("unused", False), ("../script", False)],
)
def test_the_digest_follows_the_modules_that_are_used(package, edited, changes):
    before = code_digest(package / "script.py")
    path = package / "steerdose" / f"{edited}.py"
    path.write_text(path.read_text() + "# a comment\n")
    imported_modules.cache_clear()
    assert (code_digest(package / "script.py") != before) == changes


@pytest.mark.parametrize(
    ("script", "used", "unused"),
    [
        ("plot_survival", {"figures", "tables"}, {"rollout", "survival", "models"}),
        ("rollout_trajectories", {"steering", "rollout", "chat"}, {"figures", "adapters", "survival"}),
        ("kaplan_meier", {"survival", "fork_grid"}, {"models", "rollout", "steering", "figures"}),
        ("train_adapter", {"adapters", "models"}, {"figures", "rollout", "survival"}),
        ("measure_prompt", {"prompts", "rollout"}, {"dose", "calibrate", "trajectories"}),
        ("rollout_prompt", {"prompt_rollouts", "trajectories"}, {"dose", "calibrate", "survival"}),
    ],
)
def test_what_a_script_depends_on(script, used, unused):
    names = {path.stem for path in imported_modules(LIBRARY.parent / f"{script}.py")}
    assert used | {"jobs", "errors", "progress"} <= names
    assert not names & unused


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


@pytest.mark.parametrize("path", [*SCRIPTS, *sorted(LIBRARY.glob("*.py"))], ids=lambda path: path.stem)
def test_digests_see_every_import(path):
    """`import steerdose.x` would escape them."""
    found = imported_modules(path)
    assert all(module.parent == LIBRARY and module.is_file() for module in found)
    plain = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import)]
    assert not [alias.name for node in plain for alias in node.names if alias.name.startswith("steerdose")]


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
