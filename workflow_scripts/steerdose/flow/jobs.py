"""The only place that sees the `snakemake` object: logging, threads, and the step from a rule to a function call."""

import inspect
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, get_type_hints

from steerdose.columns import Cell
from steerdose.errors import SteerdoseError
from steerdose.flow import integrity, orphans, progress, provenance


class Job:
    """One job of a rule."""

    def __init__(self, snakemake: Any) -> None:
        self.rule: str = snakemake.rule
        self.files = {**_named(snakemake.input), **_named(snakemake.output)}
        self.inputs, self.outputs = ([str(path) for path in paths] for paths in (snakemake.input, snakemake.output))
        self.wildcards = dict(snakemake.wildcards.items())
        self.params = dict(snakemake.params.items())
        self.log = str(snakemake.log[0])

    @property
    def cell(self) -> Cell:
        """The key columns that the rule's wildcards name."""
        wildcards = {name: value for name, value in self.wildcards.items() if name in Cell.__dataclass_fields__}
        if "seed" in wildcards:
            wildcards["seed"] = int(wildcards["seed"])
        return Cell(**wildcards)

    def run(self, function: Callable[..., None]) -> None:
        """Call a function of the library, which takes by keyword what it needs of the rule, under the rule's names.

        Files: each named input and output, a path or a list of paths. `cell`: the key columns. `settings`: the rule's
        params of that name, as the type that the function declares. Other wildcards and params: by name, numbers where
        it declares them. What a function does not take, such as an input that only has to be there, is left out.
        """
        types, names = get_type_hints(function), inspect.signature(function).parameters
        given: dict[str, Any] = {**self.wildcards, **self.params, **self.files}
        if "model" in self.wildcards:
            given["cell"] = self.cell
        function(**{name: _typed(given, name, types[name], self.rule) for name in names})


def _typed(given: dict[str, Any], name: str, kind: Any, rule: str) -> Any:
    if name not in given:
        raise TypeError(f"rule {rule} has no input, output, wildcard or param named '{name}'")
    if name == "settings":
        return kind.parse(given[name])
    return kind(given[name]) if kind in (int, float) else given[name]


def _named(files: Any) -> dict[str, str | list[str]]:
    """Return the named files of an input or output, lists as lists."""
    return {name: value if isinstance(value, str) else [str(each) for each in value] for name, value in files.items()}


@contextmanager
def open_job(snakemake: Any) -> Iterator[Job]:
    """Send all output of the body to the rule's log and set the threads; import torch only inside.

    A SteerdoseError ends the script with its message alone, any other exception with its traceback. Inputs are checked
    first; of a body that succeeds, digests and provenance are left beside its outputs.
    """
    start = datetime.now(UTC)
    progress.terminal = os.fdopen(os.dup(2), "w")
    job = Job(snakemake)
    log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(log, stream.fileno())
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[variable] = str(snakemake.threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    orphans.follow()
    settings = job.params.get("settings", "{}")
    logging.info("rule %s, wildcards %s, settings %s", job.rule, job.wildcards, settings)
    try:
        integrity.check_inputs(job.inputs, job.rule)
        integrity.drop_damaged(job.outputs)
        integrity.forget_digests(job.outputs)
        yield job
        integrity.record_digests(job.outputs)
        provenance.record(
            job.outputs,
            rule=job.rule,
            wildcards=job.wildcards,
            settings=settings,
            inputs=job.inputs,
            start=start,
            log_file=job.log,
        )
    except Exception as error:
        _tell(str(error) if isinstance(error, SteerdoseError) else traceback.format_exc().rstrip())
        sys.exit(1)


def _tell(why: str) -> None:
    """Write why a job fails to its log; to the terminal where the log has no room, since the disk is full."""
    try:
        with os.fdopen(os.dup(2), "w") as log:
            log.write(f"{why}\n")
    except OSError:
        print(why, file=progress.terminal, flush=True)
