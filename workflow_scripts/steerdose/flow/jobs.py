"""The only place that sees the `snakemake` object: logging, threads, and the step from wildcards to plain values."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from steerdose.errors import SteerdoseError
from steerdose.flow import progress

CELL = ("model", "behavior", "seed", "method")


@dataclass(frozen=True)
class Job:
    """What a rule hands to its script: named inputs and outputs, settings from the config, the cell's key columns."""

    input: Any
    output: Any
    settings: dict[str, Any]
    wildcards: dict[str, str]
    params: Any

    @property
    def cell(self) -> dict[str, Any]:
        """The key columns that the rule's wildcards name; seed is an integer."""
        return {key: int(v) if key == "seed" else v for key in CELL if (v := self.wildcards.get(key)) is not None}

    @property
    def metadata(self) -> dict[str, str]:
        """What a steering file says about its origin."""
        cell = {key: str(value) for key, value in self.cell.items() if key != "method"}
        return {**cell, "config": json.dumps(self.settings, sort_keys=True)}


@contextmanager
def open_job(snakemake: Any) -> Iterator[Job]:
    """Send all output of the body to the rule's log and set the threads; import torch only inside.

    A SteerdoseError ends the script with its message alone; any other exception leaves its traceback in the log.
    """
    progress.terminal = os.fdopen(os.dup(2), "w")
    log = os.open(str(snakemake.log[0]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(log, stream.fileno())
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[variable] = str(snakemake.threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    settings = json.loads(snakemake.params.get("settings", "{}"))
    logging.info("rule %s, wildcards %s, settings %s", snakemake.rule, dict(snakemake.wildcards.items()), settings)
    try:
        yield Job(snakemake.input, snakemake.output, settings, dict(snakemake.wildcards.items()), snakemake.params)
    except SteerdoseError as error:
        logging.error("%s", error)
        sys.exit(1)
