"""Snakemake's events as a user sees them: a live view on a terminal, plain lines elsewhere, of a dry run its plan."""

import logging
import os
import sys
import time
from types import SimpleNamespace
from typing import Any

from rich.console import Console
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from steerdose.console.run import Run, Running, Told
from steerdose.console.views import Lines, Screen, print_plan
from steerdose.flow.progress import QUIET
from steerdose.study.estimate import Expected

TOLD = ("Nothing to be done", "Complete log")  # of what snakemake says beside its events


class LogHandler(LogHandlerBase):
    """What `--logger steerdose` shows. Errors and warnings are shown as snakemake words them."""

    writes_to_stream = True
    writes_to_file = has_filter = has_formatter = needs_rulegraph = False

    def __post_init__(self) -> None:
        Told.wanted = True
        self.run, self.jobs = Run(time.monotonic()), dict[int, tuple[str, Expected]]()
        self.console = Console(file=sys.stdout if self.common_settings.stdout else sys.stderr, highlight=False)
        shown = self.console.is_terminal and not self.common_settings.dryrun
        self.view: Lines | Screen = Screen(self.run, self.console) if shown else Lines(self.run, self.console)
        if shown:
            os.environ[QUIET] = "1"  # jobs show no bars of their own

    def emit(self, record: logging.LogRecord) -> None:
        event, now = getattr(record, "event", None), time.monotonic()
        if event == LogEvent.JOB_INFO:
            self._job(record, now)
        elif event == LogEvent.JOB_FINISHED:
            if job := self.run.finish(record.job_id):  # type: ignore[attr-defined]
                self.view.finished(job, now)
        elif record.levelno >= logging.WARNING or (event is None and str(record.msg).startswith(TOLD)):
            self.view.say(self.format(record))

    def _job(self, record: Any, now: float) -> None:
        if not record.log:  # of a rule that only names targets
            return
        if self.common_settings.dryrun:
            if Told.expect:
                wildcards = SimpleNamespace(**record.wildcards)
                self.jobs[record.jobid] = record.rule_name, Told.expect(record.rule_name, wildcards)
            return
        self.run.planned = dict(Told.planned)
        job = Running(record.rule_msg or record.rule_name, str(record.log[0]), now)
        self.run.running[record.jobid] = job
        self.view.started(job, now)

    def close(self) -> None:
        if self.jobs:
            print_plan(self.jobs, self.console)
            self.jobs.clear()
        self.view.close()
        super().close()
