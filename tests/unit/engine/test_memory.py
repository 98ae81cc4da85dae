"""Batches that do not fit into memory."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from engine_examples import END, PROBES, PROMPTS, direction
from steerdose.engine import memory
from steerdose.engine.batch import Batch
from steerdose.engine.fork_grid import fork_times
from steerdose.engine.generate import generate
from steerdose.engine.memory import Fitting
from steerdose.engine.probe import ForkPlan
from steerdose.engine.requests import Request
from steerdose.engine.score import Item, score
from steerdose.errors import SteerdoseError
from steerdose.steering.intervention import UNSTEERED, Intervention

CPU = [torch.device("cpu")]
EXHAUST = """
import resource, sys, torch
from steerdose.engine.memory import Fitting
torch.ones(1) @ torch.ones(1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 600 * 2**20, used + 600 * 2**20))
done = []
def work(rows):
    held = [torch.empty(200 * 2**20, dtype=torch.uint8) for _ in rows]
    done.extend(rows)
Fitting([torch.device("cpu")], 1).run(list(range(int(sys.argv[1]))), work)
print(done)
"""


def exhaust(rows):
    """Work of 200 MiB a row in a process that gets no more than 600."""
    paths = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", EXHAUST, str(rows)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_rows_that_do_not_fit_are_halved_until_they_do():
    done = exhaust(8)
    assert done.stdout.strip() == str(list(range(8))), done.stderr
    assert "out of memory with 8 rows at a time: going on with 4" in done.stderr
    assert "going on with 2" in done.stderr
    assert "going on with 1" not in done.stderr


def work_of(most, done, calls):
    def work(rows):
        calls.append(len(rows))
        done.append(rows[0])  # what a run that failed has left is to be thrown away by the caller
        if len(rows) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        done[-1:] = rows

    return work


def test_once_halved_batches_stay_small(caplog):
    done, calls = [], []
    fitting = Fitting(CPU, 1)
    for batch in (range(10), range(10, 16)):
        fitting.run(batch, work_of(3, done, calls))
    assert calls == [10, 5, 2, 2, 2, 2, 2, 2, 2, 2]
    assert caplog.messages == [f"out of memory with {n} rows at a time: going on with {n // 2}" for n in (10, 5)]


def test_a_single_row_that_does_not_fit_and_other_errors_stop():
    with pytest.raises(SteerdoseError, match="out of memory with a single row: shorten the window"):
        Fitting(CPU, 1).run(range(4), work_of(0, [], []))

    def broken(_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        Fitting(CPU, 1).run(range(4), broken)


def test_no_more_rows_are_begun_than_are_free(monkeypatch, caplog):
    monkeypatch.setattr(memory, "free_bytes", lambda _: 1000)
    calls = []
    Fitting(CPU, 300).run(range(7), work_of(9, [], calls))
    assert calls == [3, 3, 1]
    assert "3 of 7 rows at a time" in caplog.text


def test_trajectories_and_scores_are_the_same_where_memory_was_short(monkeypatch, caplog):
    loaded = tiny.loaded()
    steering = direction(loaded.model)
    given = [Intervention(steering, c) for c in (0.0, 1.0, -2.0)]
    wanted = [Request(f"p{i}", ids, each) for i, ids in enumerate(PROMPTS) for each in given]
    items = [Item(str(i), {None: ids}, n_scored=1) for i, ids in enumerate(PROMPTS)]

    def measured():
        plan = ForkPlan(PROBES, fork_times(12, count=3))
        rolled = generate(loaded, wanted, window=12, end_ids=END, batch_size=9, plan=plan)
        return rolled, score(loaded, [UNSTEERED, *given], items, batch_rows=12)

    expected, expected_scores = measured()
    run = Batch.fork

    def short(self, done, plan):
        """Fail at the end of the first batches, when tokens and numbers are there already."""
        if len(self.requests) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        run(self, done, plan)

    monkeypatch.setattr(Batch, "fork", short)
    monkeypatch.setattr(memory, "free_bytes", lambda _: 20_000)
    with caplog.at_level(logging.WARNING):
        found, scores = measured()
    assert "rows at a time" in caplog.text
    for a, b in zip(found, expected, strict=True):
        assert (a.token_ids, a.ended) == (b.token_ids, b.ended)
        assert a.kl == pytest.approx(b.kl, abs=1e-5)
        assert [f.pmass for f in a.forks] == pytest.approx([f.pmass for f in b.forks], abs=1e-5)
    for row, other in zip(scores, expected_scores, strict=True):
        assert [s.tokens for s in row] == [pytest.approx(s.tokens, abs=1e-5) for s in other]
