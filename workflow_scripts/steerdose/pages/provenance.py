"""Where the results come from, as a page: what made them, of which models, when and where; and what that took."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from steerdose.declarations.cost import COST
from steerdose.files import replacing, write_csv
from steerdose.flow.provenance import RECORD
from steerdose.flow.records import read_record
from steerdose.pages.render import render
from steerdose.tables.cost import cost_table
from steerdose.tables.publish import write_html

Entry = Mapping[str, Any]  # as `flow.provenance.record` writes it


def write_provenance(*, template: str, caption: str, page: str, start: str, csv: str, html: str) -> None:
    """Write the page of all records in the page's folder and below, its head for the report, and the table of costs."""
    files = sorted(Path(page).parent.rglob(RECORD))
    entries = [entry for file in files for entry in read_record(file).values()]
    distinct = {(entry["rule"], *entry["wildcards"].items()): entry for entry in sorted(entries, key=_end)}
    found = summary(distinct.values())
    for path, text in ((page, render(template, **found)), (start, fields(found))):
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    cost = cost_table(distinct.values())
    write_csv(cost, csv, COST)
    write_html(cost, html, COST, caption, n_names=5)


def summary(entries: Iterable[Entry]) -> dict[str, Any]:
    """Return what the template shows: rows of states of the code, of models, and of rules with the sum of their times.

    A state is version, commit and the versions of packages; results of several states were not made in one run.
    """
    states: dict[tuple[Any, ...], list[Entry]] = {}
    rules: dict[str, list[Entry]] = {}
    models: dict[tuple[str, str], None] = {}
    for entry in sorted(entries, key=_end):
        key = (entry["steerdose"], entry["commit"], entry["changes"], *entry["versions"].items())
        states.setdefault(key, []).append(entry)
        rules.setdefault(entry["rule"], []).append(entry)
        models |= dict.fromkeys(entry["models"].items())
    return {
        "states": [{**own[0], **_span(own)} for own in states.values()],
        "models": [{"name": name, "sha256": sha256} for name, sha256 in sorted(models)],
        "rules": [{"rule": rule, **_span(own)} for rule, own in rules.items()],
    }


def _end(entry: Entry) -> tuple[str, str]:
    return entry["end"], entry["rule"]


def _span(entries: list[Entry]) -> dict[str, Any]:
    """Return jobs, seconds (sum), start (first), end (last) and hosts of entries."""
    times = [[datetime.fromisoformat(entry[name]) for name in ("start", "end")] for entry in entries]
    return {
        "jobs": len(entries),
        "seconds": sum(int((end - start).total_seconds()) for start, end in times),
        "start": min(entry["start"] for entry in entries),
        "end": max(entry["end"] for entry in entries),
        "hosts": sorted({entry["host"] for entry in entries}),
    }


def fields(found: Mapping[str, Any]) -> str:
    """Return states and models of a `summary` as a field list of reStructuredText."""
    lines = []
    for state in found["states"]:
        commit = f"commit ``{state['commit']}``" if state["commit"] else "not in git"
        packages = [f"{name} {version or 'not installed'}" for name, version in state["versions"].items()]
        words = [commit + (" with changes" if state["changes"] else ""), *packages, f"{state['jobs']} jobs"]
        lines.append(f":steerdose {state['steerdose']}: {', '.join(words)}, the last at {state['end'][:19]} UTC")
    lines += [f":model {model['name']}: sha256 ``{model['sha256']}``" for model in found["models"]]
    return "\n".join(lines) + "\n"
