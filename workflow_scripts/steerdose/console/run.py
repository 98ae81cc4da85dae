"""What of a run is planned, running and done, and how long the rest will take."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steerdose.flow.progress import LINE
from steerdose.study.estimate import Expected

TAIL = 4096  # bytes of a log that are looked at
OTHERS = "others, without a model"  # in a plan


class Told:
    """What the workflow tells the logger of a run, where there is one."""

    wanted = False  # by a logger
    expect: Callable[[str, Any], Expected] | None = None  # of a rule's job with these wildcards
    planned: Mapping[int, Expected] = {}  # the jobs of the run


@dataclass
class Running:
    """A job that was started. log: its file. start: in seconds, as all times here."""

    message: str
    log: str
    start: float

    def progress(self) -> tuple[int, int, int] | None:
        """Return what is done, of how much, and tokens a second, as the job's log last says; None where it does not."""
        try:
            with Path(self.log).open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - TAIL))
                lines = file.read().decode("utf-8", errors="replace").splitlines()
        except OSError:
            return None
        found = next((match for line in reversed(lines) if (match := LINE.search(line))), None)
        return (int(found["done"]), int(found["total"]), int(found["speed"])) if found else None


@dataclass
class Run:
    """A run as snakemake tells of it."""

    start: float
    planned: dict[int, Expected] = field(default_factory=dict)
    running: dict[int, Running] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)

    def finish(self, job: int) -> Running | None:
        """Note that a job is done, and return it."""
        self.done.add(job)
        return self.running.pop(job, None)

    def left(self, now: float) -> float | None:
        """Return seconds until the end; None where nothing was planned.

        The jobs that are done tell how much slower or faster than expected this machine is; those that run count in
        full until they end, or for what they have not taken yet.
        """
        if not self.planned:
            return None
        behind = sum(_share(self.planned[job]) for job in self.done if job in self.planned)
        pace = (now - self.start - self._spent(now)) / behind if behind else 1.0
        pace = min(max(pace, 0.2), 5.0)
        ahead = sum(_share(each) for job, each in self.planned.items() if job not in {*self.done, *self.running})
        for job, each in self.running.items():
            expected = self.planned.get(job)
            if expected:
                ahead += max(0.0, _share(expected) - (now - each.start) / expected.slots / pace)
        return ahead * pace

    def _spent(self, now: float) -> float:
        """Return the seconds that went into jobs that are not done."""
        known = ((self.planned.get(job), each) for job, each in self.running.items())
        return sum((now - each.start) / expected.slots for expected, each in known if expected)

    def headline(self, now: float) -> str:
        left = self.left(now)
        of = f"{len(self.done)} of {len(self.planned)} jobs" if self.planned else f"{len(self.done)} jobs"
        return f"{of}, {clock(now - self.start)}" + (f", about {clock(left)} left" if left is not None else "")


def _share(expected: Expected) -> float:
    """Return by how much a job makes a run longer."""
    return expected.seconds / expected.slots


def clock(seconds: float) -> str:
    """Return a time in words: 42 s, 3 min 20 s, 2 h 05 min, 3 days 4 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} days {whole % 86400 // 3600} h"


def plan_table(jobs: Mapping[int, tuple[str, Expected]]) -> list[tuple[str, ...]]:
    """Return the rows of a plan: rule, jobs, tokens, time on the clock, GiB; the longest first, the sum last.

    jobs: rule and expectation by the job's number.
    """
    by_rule: dict[str, list[Expected]] = {}
    for rule, expected in jobs.values():
        by_rule.setdefault(rule if expected.tokens else OTHERS, []).append(expected)
    longest = sorted(by_rule.items(), key=lambda each: (each[0] == OTHERS, -sum(map(_share, each[1]))))
    return [*(_row(rule, own) for rule, own in longest), _row("all", [expected for _, expected in jobs.values()])]


def _row(name: str, jobs: list[Expected]) -> tuple[str, ...]:
    tokens, peak = sum(each.tokens for each in jobs), [each.gib for each in jobs if each.gib is not None]
    counted = f"{tokens:,.0f}" if tokens else ""
    return name, str(len(jobs)), counted, clock(sum(map(_share, jobs))), f"{max(peak):.1f}" if peak else ""
