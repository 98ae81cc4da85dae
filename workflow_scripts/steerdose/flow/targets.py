"""Targets that no rule makes, said in one line each with the nearest names."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def nearest_targets(workflow: Any, known: Sequence[str], prompts: Sequence[str]) -> str:
    """Return a line for every requested target that is neither a rule nor made by one; empty where all are fine.

    known: the files of a whole run, which are offered when a target is close to one of them. prompts: the methods that
    have no dose and so no export.
    """
    asked = sorted(workflow.dag_settings.targets) if workflow.dag_settings else []
    rules = {rule.name: rule for rule in workflow.rules}
    unknown = [
        target
        for target in asked
        if target not in rules and not Path(target).exists() and not any(r.is_producer(target) for r in rules.values())
    ]
    return "\n".join(_line(target, [*rules, *map(str, known)], prompts) for target in unknown)


def _line(target: str, known: Sequence[str], prompts: Sequence[str]) -> str:
    named = [name for name in prompts if f".{name}.alpha" in target]
    if target.startswith("results/export/") and named:
        return (
            f"{target}: '{named[0]}' is a prompt and has no coefficient to export; its text is in data.system_prompts"
        )
    near = difflib.get_close_matches(target, known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`snakemake --list` shows the rules"
    return f"no rule makes '{target}'; {hint}"
