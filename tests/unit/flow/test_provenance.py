"""Records of what made a job's files: complete, shared by jobs at the same time, and never in a job's way."""

import logging
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from steerdose.flow import provenance
from steerdose.flow.provenance import RECORD, git_state, record, stamp, versions
from steerdose.flow.records import read_record

LIBRARY = str(Path(provenance.__file__).parents[2])
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
JOB = {
    "rule": "plot_survival",
    "wildcards": {},
    "settings": '{"most": 12}',
    "inputs": [],
    "start": START,
    "log_file": "job.log",
}
ENTRY = """
import sys
from types import SimpleNamespace
sys.path.insert(0, {library!r})
from steerdose.errors import SteerdoseError
from steerdose.flow.jobs import open_job
class Files(list):
    def __init__(self, **named):
        super().__init__(named.values())
        self.items = named.items
snakemake = SimpleNamespace(
    log=["job.log"], threads=1, rule="kaplan_meier", input=Files(forks="results/m/b/seed0/forks.parquet"),
    output=Files(curve="results/m/b/seed0/curve.parquet"), params={{"settings": '{{"window": 8}}'}},
    wildcards={{"model": "m", "behavior": "b", "seed": "0", "method": "lora"}},
)
with open_job(snakemake) as job:
    {body}
assert not {{"torch", "transformers", "peft"}} & set(sys.modules)
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A folder of results with one resolved model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/m/b/seed0").mkdir(parents=True)
    (tmp_path / "results/models/m").mkdir(parents=True)
    (tmp_path / "results/models/m/source.json").write_text('{"source": "somewhere", "sha256": "0abc"}')
    return tmp_path


def run(body):
    """Run an entry script with this body in the current folder."""
    Path("entry.py").write_text(ENTRY.format(library=LIBRARY, body=body))
    return subprocess.run([sys.executable, "entry.py"], check=False).returncode


def test_a_job_leaves_a_record_beside_its_files(study):
    assert run("pass") == 0
    (entry,) = read_record(study / "results/m/b/seed0" / RECORD).values()
    assert entry["rule"] == "kaplan_meier"
    assert entry["wildcards"] == {"model": "m", "behavior": "b", "seed": "0", "method": "lora"}
    assert entry["settings"] == {"window": 8}
    assert entry["models"] == {"m": "0abc"}
    assert set(entry["versions"]) == {"python", "torch", "transformers", "peft", "polars"}
    assert entry["host"]
    times = [datetime.fromisoformat(entry[name]) for name in ("start", "end")]
    assert times == sorted(times)
    assert {time.utcoffset().total_seconds() for time in times} == {0}


@pytest.mark.parametrize("body", ["raise SteerdoseError('no')", "raise ValueError('a bug')"])
def test_a_job_that_fails_leaves_none(study, body):
    assert run(body) == 1
    assert not list(study.rglob(RECORD))


def test_a_record_that_cannot_be_written_is_a_warning(study):
    (study / "results/m/b/seed0" / RECORD).mkdir()
    assert run("pass") == 0
    assert "no provenance of kaplan_meier model=m" in Path("job.log").read_text()


def test_a_folder_that_is_an_output_has_its_record_beside_it(study):
    record(["results/models/m"], **JOB)
    assert [path.parent for path in study.rglob(RECORD)] == [study / "results/models"]


def test_a_job_that_runs_again_replaces_its_own_entry_only(study):
    Path("results/figs").mkdir()
    for settings in ('{"most": 1}', '{"most": 2}'):
        record(["results/figs/a.png"], **JOB | {"settings": settings})
    record(["results/figs/b.png"], **JOB | {"rule": "plot_kl_fan"})
    entries = read_record(study / "results/figs" / RECORD)
    assert [(name, entry["settings"]["most"]) for name, entry in entries.items()] == [
        ("plot_kl_fan", 12),
        ("plot_survival", 2),
    ]


def test_jobs_at_the_same_time_lose_no_entry(study):
    """Eight processes write five entries each into one folder."""
    code = (
        f"import sys; sys.path.insert(0, {LIBRARY!r})\n"
        "from datetime import UTC, datetime\n"
        "from steerdose.flow.provenance import record\n"
        "for i in range(5):\n"
        "    record(['results/m/x'], rule=f'r{sys.argv[1]}.{i}', wildcards={}, settings='{}', inputs=[],\n"
        "           start=datetime.now(UTC), log_file='job.log')\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(i)]) for i in range(8)]
    assert [process.wait() for process in running] == [0] * 8
    assert len(read_record(study / "results/m" / RECORD)) == 40
    assert [path.name for path in (study / "results/m").iterdir() if path.name.startswith(".")] == []


def test_broken_records_and_settings_are_warnings(study, caplog):
    (study / "results/m" / RECORD).write_text("{")
    with caplog.at_level(logging.WARNING):
        record(["results/m/x"], **JOB)
        record(["results/m/x"], **JOB | {"settings": "no json"})
        record(["results/nowhere/x"], **JOB)
    assert [each.levelname for each in caplog.records] == ["WARNING"] * 3
    assert list(read_record(study / "results/m" / RECORD)) == ["plot_survival"], "what is broken is begun anew"


def test_the_stamp_names_version_commit_and_changes(monkeypatch):
    for state, expected in (
        (("0123456789abcdef", False), "steerdose 1.2 (0123456789ab)"),
        (("0123456789abcdef", True), "steerdose 1.2 (0123456789ab+changes)"),
        ((None, None), "steerdose 1.2"),
    ):
        monkeypatch.setattr(provenance, "steerdose_version", lambda: "1.2")
        monkeypatch.setattr(provenance, "git_state", lambda state=state: state)
        assert stamp() == expected


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository in place of the project's, with one commit."""
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    git_state.cache_clear()
    for variable, value in (("NAME", "a"), ("EMAIL", "a@b")):
        monkeypatch.setenv(f"GIT_AUTHOR_{variable}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{variable}", value)
    yield tmp_path
    git_state.cache_clear()


def git(*arguments, folder):
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_git_says_commit_and_changes(repository):
    git("init", folder=repository)
    (repository / "file").write_text("one")
    git("add", "file", folder=repository)
    git("commit", "-m", "one", folder=repository)
    assert git_state() == (git("rev-parse", "HEAD", folder=repository), False)
    git_state.cache_clear()
    (repository / "file").write_text("two")
    assert git_state()[1] is True


def test_without_git_there_is_no_commit(repository, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repository.parent))
    assert git_state() == (None, None)
    git_state.cache_clear()
    monkeypatch.setenv("PATH", os.fspath(repository))
    assert git_state() == (None, None)


def test_a_missing_package_has_no_version(monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("polars", "no_such_package"))
    assert versions()["no_such_package"] is None
    assert versions()["polars"]
