"""Workspaces: copies of the project in which tests run snakemake as a user would, and may edit anything."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import warm
import yaml
from filelock import FileLock
from hypothesis import settings
from snakemake.utils import update_config

settings.register_profile("steerdose", deadline=None, derandomize=True)  # no timed assertions, no drawn seeds
settings.load_profile("steerdose")

ROOT = Path(__file__).parent.parent
PARTS = [
    "Snakefile", "config.yaml", "rules", "workflow_scripts", "report", "profiles", "envs", "data", "requirements.txt",
]  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", type=int, default=0, help="drawn crashes and damages of each kind, test_crash.py")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how often what was tried, by tests that say so to `tried`."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for report in terminalreporter.getreports("passed"):
        for what, each in getattr(report, "user_properties", ()):
            counts[what][each] += 1
    for what, each in sorted(counts.items()):
        listed = ", ".join(f"{name} {n}" for name, n in each.most_common())
        terminalreporter.write_line(f"{what} {each.total()}: {listed}")


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Count what a test tries: what is done, and to which of its kind."""

    def count(what: str, *to: str) -> None:
        for each in to:
            record_property(what, each)

    return count


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 200 MB."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200m", "none", small]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk, and not in every container")
    yield small
    subprocess.run(["umount", "--lazy", small], check=True)


def fill(disk: Path, room: int) -> Path:
    """Write a file that leaves so many bytes free; return it."""
    full = disk / "full"
    full.write_bytes(bytes(shutil.disk_usage(disk).free - room))
    return full


@dataclass
class Workspace:
    """A copy of the project; `overlay` is laid over its config."""

    root: Path
    overlay: str
    python: str = sys.executable  # that jobs run with

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", warm.COMMAND, self.python]
        command += ["--configfile", self.overlay, "--cores", "2", *arguments]
        environment = {**os.environ, "PYTHONPATH": ""}
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False, env=environment)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} failed:\n{done.stdout[-6000:]}{done.stderr[-6000:]}")
        return done

    def stale(self, *targets: str) -> dict[str, int]:
        """Return how many jobs of each rule a run would make; empty when nothing is to be done."""
        done = self.snakemake("-n", *targets)
        table = (done.stdout + done.stderr).partition("Job stats:")[2].partition("total")[0]
        return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE) if rule != "all"}

    def configure(self, **changes) -> None:
        """Change the overlay in place, nested mappings merged."""
        path = self.root / self.overlay
        config = yaml.safe_load(path.read_text())
        update_config(config, changes)
        path.write_text(yaml.safe_dump(config))

    def copy(self, root: Path) -> "Workspace":
        shutil.copytree(self.root, root, symlinks=True)
        return Workspace(root, self.overlay, self.python)

    def read(self, path: str) -> str:
        return (self.root / path).read_text()


def make_workspace(root: Path, overlay: str, python: str = sys.executable) -> Workspace:
    root.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / part)
    shutil.copy(ROOT / "tests/config" / overlay, root / overlay)
    (root / "tiny_model").mkdir(exist_ok=True)  # what tests/config/tiny.yaml names; tests that run it save one there
    return Workspace(root, overlay, python)


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], None]) -> Path:
    """Return a folder that the first of pytest's processes to ask for it builds; the others wait."""
    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    done = Path(f"{folder}.done")
    with FileLock(f"{folder}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of one that failed
            build(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def warm_python(tmp_path_factory) -> Iterator[str]:
    """An interpreter for jobs that has torch imported."""
    process, client = warm.start(tmp_path_factory.mktemp("warm"))
    yield str(client)
    process.kill()


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory, warm_python) -> Workspace:
    """The whole default study, run to the end on a random tiny Llama. Do not change it: use `study`."""
    import tiny

    def build(root: Path) -> None:
        workspace = make_workspace(root, "tiny.yaml", warm_python)
        tiny.save(workspace.root / "tiny_model")
        workspace.snakemake()

    return Workspace(built_once(tmp_path_factory, "study", build), "tiny.yaml", warm_python)


@pytest.fixture
def study(finished_study, tmp_path) -> Workspace:
    """A copy of the finished study, to be changed."""
    return finished_study.copy(tmp_path / "study")


@pytest.fixture(scope="session")
def finished_symbols(tmp_path_factory) -> Workspace:
    """The whole tiny study, symbolic and run to the end. Do not change it: use `symbols`."""
    import symbolic

    def build(root: Path) -> None:
        workspace = make_workspace(root, "tiny.yaml")
        (workspace.root / "tiny_model/weights").write_text("w")
        symbolic.make_symbolic(workspace.root)
        workspace.configure(jobs={"threads": 1, "gpus": 0})  # several jobs at a time
        workspace.snakemake("--cores", "4")

    return Workspace(built_once(tmp_path_factory, "symbols", build), "tiny.yaml")


@pytest.fixture
def symbols(finished_symbols, tmp_path) -> Workspace:
    """A copy of the finished symbolic study, to be changed."""
    return finished_symbols.copy(tmp_path / "symbols")


@pytest.fixture
def fresh(tmp_path, warm_python) -> Workspace:
    """A workspace in which nothing has run."""
    import tiny

    workspace = make_workspace(tmp_path / "fresh", "tiny.yaml", warm_python)
    tiny.save(workspace.root / "tiny_model")
    return workspace
