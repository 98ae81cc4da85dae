"""Rows at a time, as many as fit into memory: no more than what is free says, and half as many where that fails."""

import logging
import sys
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import psutil
import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from steerdose.errors import SteerdoseError
from steerdose.study.memory import GIB

log = logging.getLogger(__name__)

T = TypeVar("T")

SHARE = 0.9  # of the free memory is used


def free_bytes(devices: Collection[torch.device]) -> int:
    """Return what is free of the GPUs among the devices, with what torch keeps there; else of the machine."""
    gpus = [each for each in devices if each.type == "cuda"]
    if not gpus:
        return int(psutil.virtual_memory().available)
    kept = sum(torch.cuda.memory_reserved(each) - torch.cuda.memory_allocated(each) for each in gpus)
    return kept + sum(torch.cuda.mem_get_info(each)[0] for each in gpus)


class Fitting:
    """Does work on as many rows at a time as fit; a row depends on its neighbours in rounding alone."""

    def __init__(self, devices: Collection[torch.device], per_row: float) -> None:
        """devices: that share the work. per_row: bytes, as far as known."""
        self.devices, self.per_row, self.most = devices, per_row, sys.maxsize

    def run(self, rows: Sequence[T], work: Callable[[Sequence[T]], None]) -> None:
        """Do `work` on all rows, in order. It is to begin afresh where it is called again with some of its rows.

        Raises SteerdoseError where a single row does not fit.
        """
        while rows:
            free = free_bytes(self.devices)
            room = max(1, int(SHARE * free / self.per_row))
            if room < min(len(rows), self.most):
                log.warning("%.1f GiB are free: %d of %d rows at a time", free / GIB, room, len(rows))
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
                    "out of memory with a single row: shorten the window or the texts, take a smaller dtype or "
                    "`quantization`, or a machine with more"
                ) from error
        else:
            return True
        clear_device_cache(garbage_collection=True)  # here no traceback holds tensors any more
        return False
