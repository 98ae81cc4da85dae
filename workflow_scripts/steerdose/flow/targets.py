"""Targets that no rule makes, said in one line each with the nearest names."""

import difflib
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from snakemake.cli import parse_args

# Ways to use snakemake that run no job; of some, what follows is no target either.
LOOKS = (
    *("archive", "cleanup_metadata", "cleanup_shadow", "containerize", "d3dag", "dag", "delete_all_output"),
    *("delete_temp_output", "detailed_summary", "draft_notebook", "drop_metadata", "edit_notebook", "filegraph"),
    *("generate_unit_tests", "lint", "list_changes", "list_conda_envs", "list_input_changes", "list_params_changes"),
    *("list_rules", "list_target_rules", "list_untracked", "print_compilation", "report", "rulegraph", "summary"),
    *("touch", "unlock"),
)


@dataclass(frozen=True)
class Asked:
    """What snakemake's command line asks for. does: "run" or "plan" (-n) targets, or "look", which makes none."""

    does: str
    targets: tuple[str, ...] = ()


def asked(argv: Sequence[str]) -> Asked:
    """Return what a command line of snakemake's asks for; one of another program, or that starts one job, only looks.

    The command line is read again, because a workflow is not told of it while its rules are read.
    """
    program = Path(argv[0])
    if "snakemake" not in (program.name, program.parent.name) or "--target-jobs" in argv:
        return Asked("look")
    with redirect_stderr(StringIO()):  # it says which profile it uses, a second time
        given = vars(parse_args(list(argv[1:]))[1])
    looks = any(given.get(name) not in (None, False, [], ()) for name in LOOKS)
    does = "look" if looks else "plan" if given["dryrun"] else "run"
    return Asked(does, tuple(sorted(given["targets"] or ())))


def nearest_targets(rules: Sequence[Any], asked: Sequence[str], known: Sequence[str], prompts: Sequence[str]) -> str:
    """Return a line for every target asked for that is neither a rule nor made by one; empty where all are fine.

    known: the files of a whole run, which are offered when a target is close to one of them. prompts: the methods that
    have no dose and so no export.
    """
    names = [rule.name for rule in rules]
    unknown = [
        target
        for target in asked
        if target not in names and not Path(target).exists() and not any(rule.is_producer(target) for rule in rules)
    ]
    return "\n".join(_line(target, [*names, *map(str, known)], prompts) for target in unknown)


def _line(target: str, known: Sequence[str], prompts: Sequence[str]) -> str:
    named = [name for name in prompts if f".{name}.alpha" in target]
    if target.startswith("results/export/") and named:
        return (
            f"{target}: '{named[0]}' is a prompt and has no coefficient to export; its text is in data.system_prompts"
        )
    near = difflib.get_close_matches(target, known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`snakemake --list` shows the rules"
    return f"no rule makes '{target}'; {hint}"
