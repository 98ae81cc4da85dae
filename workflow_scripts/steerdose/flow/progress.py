"""Progress bars, on a terminal only."""

import sys
from typing import TextIO

from tqdm import tqdm

terminal: TextIO = sys.stderr  # jobs.open_job keeps the real one here when it redirects output to the rule's log


def bar(total: int, description: str) -> tqdm:
    """Return a progress bar (a context manager with `update()`) that shows on a terminal and nowhere else."""
    return tqdm(desc=description, total=total, file=terminal, disable=not terminal.isatty(), leave=False)
