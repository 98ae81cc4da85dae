"""Where results come from: each job leaves a record beside its files, and figures carry the version that drew them."""

import json
import logging
import platform
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from steerdose.files import read_json
from steerdose.flow.progress import Count
from steerdose.flow.records import update_record

ROOT = Path(__file__).parents[3]
RECORD = "provenance.json"
PACKAGES = ("torch", "transformers", "peft", "polars")
MODELS = Path("results/models")
log = logging.getLogger(__name__)


@cache
def steerdose_version() -> str:
    """Return the version that pyproject.toml states, or else the installed package's."""
    project = ROOT / "pyproject.toml"
    if project.is_file():
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
    return _version("steerdose") or "unknown"


@cache
def git_state() -> tuple[str | None, bool | None]:
    """Return the commit of the working tree, and whether anything differs from it; None where there is no git."""
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    return (commit, bool(changes)) if commit else (None, None)


def _git(*arguments: str) -> str | None:
    try:
        command = ["git", "--no-optional-locks", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def stamp() -> str:
    """Return version and commit in words: the same text in every run of the same state of the code."""
    commit, changed = git_state()
    state = f" ({commit[:12]}{'+changes' if changed else ''})" if commit else ""
    return f"steerdose {steerdose_version()}{state}"


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that results depend on; none of them is imported."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def record(
    outputs: Iterable[str],
    *,
    rule: str,
    wildcards: Mapping[str, str],
    settings: str,
    inputs: Iterable[str],
    start: datetime,
    log_file: str,
) -> None:
    """Write what a job was made by into provenance.json of every directory that holds one of its outputs.

    settings: the rule's slice of the study, JSON. start: in UTC. An entry a rule and wildcards, a later run of the same
    job replaces it. A record that cannot be written is a warning: the job's results are there and right.
    """
    outputs = list(outputs)
    name = "".join([rule, *[f" {key}={value}" for key, value in wildcards.items()]])
    try:
        entry = _entry(rule, wildcards, settings, [*inputs, *outputs], start)
        entry |= {"log": log_file, "tokens": Count.tokens}
        for directory in {Path(path).parent for path in outputs}:
            update_record(directory / RECORD, {name: entry})
    except (OSError, ValueError) as error:
        log.warning("no provenance of %s was recorded: %s", name, error)


def _entry(
    rule: str, wildcards: Mapping[str, str], settings: str, paths: Iterable[str], start: datetime
) -> dict[str, Any]:
    commit, changed = git_state()
    return {
        "rule": rule,
        "wildcards": dict(wildcards),
        "steerdose": steerdose_version(),
        "commit": commit,
        "changes": changed,
        "versions": versions(),
        "models": _models(paths),
        "settings": json.loads(settings),
        "host": platform.node(),
        "start": start.isoformat(timespec="seconds"),
        "end": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _models(paths: Iterable[str]) -> dict[str, str]:
    """Return the sha256 of each resolved model that a job's paths, results/{model}/..., belong to."""
    parts = (Path(path).parts for path in paths)
    names = sorted({name for each in parts if each[:1] == MODELS.parts[:1] for name in each[1:3]})
    sources = {name: MODELS / name / "source.json" for name in names}
    return {name: read_json(source)["sha256"] for name, source in sources.items() if source.is_file()}
