"""How far a job is: a bar on a terminal, a line in its log every few seconds, and the tokens it gave to models."""

import logging
import os
import re
import sys
import time
from typing import TextIO

from tqdm import tqdm

EVERY = 5.0  # seconds between two lines
QUIET = "STEERDOSE_QUIET"  # in the environment of jobs whose bars another program draws
LINE = re.compile(r" (?P<what>[^:]+): (?P<done>\d+) of (?P<total>\d+), (?P<speed>\d+) tokens/s$")  # as `Bar` logs it
terminal: TextIO = sys.stderr  # jobs.open_job keeps the real one here when it redirects output to the rule's log
log = logging.getLogger(__name__)


class Count:
    """Tokens that this process gave to models, padding included; a token that is read twice counts twice."""

    tokens = 0


class Bar(tqdm):
    """Shows on a terminal and nowhere else; the log has its lines on all machines. Use it as a context manager."""

    def __init__(self, total: int, description: str) -> None:
        quiet = QUIET in os.environ or not terminal.isatty()
        super().__init__(desc=description, total=total, file=terminal, disable=quiet, leave=False)
        self.what, self.whole, self.done = description, total, 0  # a disabled one keeps no count
        self.said, self.tokens = time.monotonic(), Count.tokens

    def update(self, n: float | None = 1) -> bool | None:
        self.done += int(n or 0)
        now = time.monotonic()
        if now - self.said >= EVERY:
            speed = (Count.tokens - self.tokens) / (now - self.said)
            log.info("%s: %d of %d, %.0f tokens/s", self.what, self.done, self.whole, speed)
            self.said, self.tokens = now, Count.tokens
        return super().update(n)

    def reach(self, done: int) -> None:
        """Go on to `done`, where parts in between were not needed."""
        self.update(done - self.done)
