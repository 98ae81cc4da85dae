"""Jobs on the machine of their run end with it, however it ends.

One that lived on behind a killed snakemake would take the processor from the next run, and could write what old
settings say over what that run has made.
"""

import logging
import os
import threading
import time
from contextlib import suppress

import psutil

log = logging.getLogger(__name__)
VARIABLE = "STEERDOSE_RUN"  # process of the run, in the environment of its jobs
EVERY = 1.0  # seconds


def lead() -> None:
    """Name this process as the run that its jobs end with, unless it is in one already."""
    if not _lives(os.environ.get(VARIABLE, "")):
        os.environ[VARIABLE] = str(os.getpid())


def follow() -> None:
    """End this process within `EVERY` of its run's end, if it can see one."""
    if _lives(run := os.environ.get(VARIABLE, "")):
        threading.Thread(target=_watch, args=(run,), daemon=True).start()


def _watch(run: str) -> None:
    while _lives(run):
        time.sleep(EVERY)
    log.error("the snakemake that started this job is gone, so it ends")
    # What stands between them first: a snakemake that saw its job fail would remove what the next run has made.
    for each in psutil.Process().parents():
        with suppress(psutil.Error):
            if each.environ().get(VARIABLE) == run:
                each.kill()
    os._exit(1)


def _lives(run: str) -> bool:
    with suppress(psutil.NoSuchProcess):
        return run.isdecimal() and psutil.Process(int(run)).status() != psutil.STATUS_ZOMBIE
    return False
