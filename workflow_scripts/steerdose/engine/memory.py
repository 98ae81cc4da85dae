"""Rows at a time, as many as fit into memory: no more than what is free says, and half as many where that fails."""

import logging
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import psutil
import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from steerdose.errors import SteerdoseError
from steerdose.study.memory import GIB

log = logging.getLogger(__name__)

T = TypeVar("T")

SHARE = 0.9  # of the free memory is used


def free_bytes(device: torch.device) -> int:
    """Return the memory that is free: of the machine, or of all GPUs that a model may be spread over."""
    if device.type != "cuda":
        return int(psutil.virtual_memory().available)
    return sum(torch.cuda.mem_get_info(each)[0] for each in range(torch.cuda.device_count()))


class Fitting:
    """Does work on as many rows at a time as fit; a row depends on its neighbours in rounding alone."""

    def __init__(self, device: torch.device, per_row: float) -> None:
        """per_row: bytes, as far as known."""
        self.device, self.per_row, self.most = device, per_row, sys.maxsize

    def run(self, rows: Sequence[T], work: Callable[[Sequence[T]], None]) -> None:
        """Do `work` on all rows, in order. It is to begin afresh where it is called again with some of its rows.

        Raises SteerdoseError where a single row does not fit.
        """
        while rows:
            room = max(1, int(SHARE * free_bytes(self.device) / self.per_row))
            if room < min(len(rows), self.most):
                free = free_bytes(self.device) / GIB
                log.warning("%.1f GiB are free on %s: %d of %d rows at a time", free, self.device, room, len(rows))
            part = rows[: min(room, self.most)]
            if self._fits(part, work):
                rows = rows[len(part) :]
            else:
                self.most = len(part) // 2
                log.warning("out of memory with %d rows at a time: going on with %d", len(part), self.most)

    def _fits(self, rows: Sequence[T], work: Callable[[Sequence[T]], None]) -> bool:
        try:
            work(rows)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            if len(rows) == 1:
                raise SteerdoseError(
                    f"out of memory on {self.device} with a single row: shorten the window or the texts, take a "
                    "smaller dtype or `quantization`, or a machine with more"
                ) from error
        else:
            return True
        clear_device_cache(garbage_collection=True)  # here no traceback holds tensors any more
        return False
