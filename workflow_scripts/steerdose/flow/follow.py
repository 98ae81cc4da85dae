"""Run snakemake and say which stage runs, and about how long the rest will take."""

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from steerdose.errors import SteerdoseError

LOG = Path("results/logs/snakemake.log")
# Seconds of a job on the default model and two cores (results/benchmarks of the default study); of all others `LEAST`.
# What the first jobs really take scales them.
SECONDS = {
    **{"resolve_model": 20, "generate_pairs": 42, "train_adapter": 43, "merge_diff": 10, "capture_activations": 19},
    **{"calibrate_alpha": 70, "audit_dose": 24, "audit_probe": 45, "rollout_trajectories": 94, "roll_reference": 60},
    **{"score_task": 60, "write_texts": 97, "score_relevance": 28, "score_reference": 34, "import_steering": 8},
}
LEAST = 2
STATS = re.compile(r"^(\w+) +(\d+)$")
STARTED, FINISHED = re.compile(r"^Job \d+: (.*)"), re.compile(r"^Finished jobid: \d+ \(Rule: (\w+)\)")


class Follower:
    """What of a run is done; it is fed the lines that snakemake says, and answers with lines for a reader."""

    def __init__(self, start: float) -> None:
        self.start = start
        self.planned: Counter[str] = Counter()
        self.done: Counter[str] = Counter()

    def line(self, text: str, now: float) -> str | None:
        """Return what a reader is told of a line of snakemake's, if anything. now: seconds, as `start`."""
        if found := STATS.match(text):
            if found[1] not in ("total", "job", "count"):
                self.planned[found[1]] = max(self.planned[found[1]], int(found[2]))
        elif found := FINISHED.match(text):
            self.done[found[1]] += 1
        elif found := STARTED.match(text):
            of = f"{self.done.total() + 1:>3} of {self.planned.total()}"
            return f"{of}  {_clock(now - self.start)}  {found[1]} ({_clock(self.left(now))} left)"
        return None

    def left(self, now: float) -> float:
        """Return seconds until the end, by what the jobs so far took against what they take on the default model."""
        planned, done = _usual(self.planned), _usual(self.done)
        pace = (now - self.start) / done if done else 1.0
        return max(0.0, planned - done) * pace


def _usual(jobs: Counter[str]) -> float:
    return sum(SECONDS.get(rule, LEAST) * n for rule, n in jobs.items())


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:>2} min {int(seconds) % 60:02d} s"


def follow(arguments: Sequence[str], out: TextIO = sys.stdout) -> None:
    """Run snakemake in this folder; all that it says is kept in `LOG`. Raises SteerdoseError where it fails."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    said: list[str] = []
    follower = Follower(time.monotonic())
    with (
        LOG.open("w", encoding="utf-8") as log,
        subprocess.Popen(
            [sys.executable, "-m", "snakemake", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as run,
    ):
        assert run.stdout is not None
        for text in run.stdout:
            log.write(text)
            said.append(text.rstrip())
            if told := follower.line(text.rstrip(), time.monotonic()):
                print(told, file=out, flush=True)
    if run.returncode:
        start = next((i for i, text in enumerate(said) if "Error" in text), max(0, len(said) - 20))
        raise SteerdoseError("the workflow stopped:\n" + "\n".join(said[start : start + 40]) + f"\nAll of it: {LOG}")
