"""How long a job takes and how much memory it needs, before it runs: its work, and how fast this machine does it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from steerdose.errors import SteerdoseError
from steerdose.files import read_json
from steerdose.study.memory import FLOAT, GIB, LOGIT_BYTES, LOGITS, row_bytes
from steerdose.study.pace import Pace
from steerdose.study.plan import Plan
from steerdose.study.work import Work, Works

LIGHT = 4.0  # seconds of a job that runs no model, most of them imports
IMPORTS = 0.6  # GiB of a process with torch and transformers
PACES = ("plain", "edited")
HALVES = ("bfloat16", "float16")
STATES = 12  # a block's states that training keeps of a token, in units of its hidden size, on the average


@dataclass(frozen=True)
class Speed:
    """Seconds and sizes as `engine.speed.measured` tells them; by default SmolLM2's on two cores of a Xeon with AMX."""

    threads: int = 2
    start: float = 8.4
    plain: Pace = field(default_factory=lambda: Pace(step=0.066, row=0.0020, read=0.0016))
    edited: Pace = field(default_factory=lambda: Pace(step=0.112, row=0.0041, read=0.0019))
    kept: float = 3.6e-6
    trained: Mapping[str, float] = field(default_factory=lambda: {"float32": 0.0050, "bfloat16": 0.0046})
    parameters: int = 134_515_008
    weights: int = 1_075_979_520
    cache: int = 11_520
    vocabulary: int = 49_152
    hidden: int = 17_280

    @classmethod
    def of(cls, path: Path) -> "Speed | None":
        """Return what was measured; None where nothing was, or another version wrote it."""
        try:
            found = read_json(path)
        except (OSError, SteerdoseError, ValueError):
            return None
        names = {each.name for each in fields(cls)}
        if {*found} != names:
            return None
        return cls(**{**found, **{name: Pace(**found[name]) for name in PACES}})

    def seconds(self, work: Work, threads: int) -> float:
        """Return the time of a job with this work; half the threads that were measured take twice as long on a CPU."""
        pace = self.plain.towards(self.edited, work.above)
        keeping = self.kept * (work.width - work.window / 2) * (1 + work.above)
        decoding = work.decoded * (pace.step / max(1, work.rows) + pace.row + keeping)
        reading = work.read * (1 - work.above) * self.plain.read + work.again * work.above * self.edited.read
        working = decoding + reading + work.trained * self.trained[work.precision]
        return self.start + working * (self.threads / threads if self.threads else 1)

    def gib(self, work: Work, dtype: str) -> float:
        """Return the most memory of a job with this work: weights, and what its rows keep."""
        size = FLOAT // 2 if dtype in HALVES else FLOAT
        rows = max(1, work.rows) * (1 + work.above * (work.decoded > 0))  # what is read has no twins
        if work.trained:
            kept = rows * work.width * (self.hidden * STATES + self.vocabulary * 3) * FLOAT
        else:
            width = work.width if work.decoded else 0
            scored = min(LOGIT_BYTES, rows * work.scored * self.vocabulary * FLOAT)
            kept = rows * row_bytes(width, self.cache, self.vocabulary, size) + LOGITS * scored
        held = max(self.weights, work.copies * self.parameters * FLOAT)
        return IMPORTS + (held + kept) / GIB


@dataclass(frozen=True)
class Expected:
    """What a job is expected to take. slots: how many of its kind run at a time. measured: of this machine."""

    seconds: float
    tokens: float
    gib: float | None
    slots: int
    measured: bool = True


class Estimates:
    """What each job of a study is expected to take on `cores` cores."""

    def __init__(self, plan: Plan, cores: int | None, gpus: int | None) -> None:
        """gpus: that a run may use at a time; None: any number."""
        self.plan, self.works, self.cores = plan, Works(plan.study, plan), cores or 1
        jobs = plan.study.jobs
        wanted = jobs.threads or self.cores
        self.threads = min(wanted, cores) if cores else wanted
        models = self.cores // self.threads
        limit = gpus // jobs.gpus if gpus is not None and jobs.gpus else models
        self.models = max(1, min(models, limit))
        self.speeds: dict[str, Speed | None] = {}

    def of(self, rule: str, wildcards: Any) -> Expected:
        """Return what a job is expected to take. wildcards: with the names of the rule's as attributes."""
        work = self.works.of(rule, wildcards)
        if work is None:
            return Expected(LIGHT, 0, None, self.cores)
        model = wildcards.model
        if model not in self.speeds:
            self.speeds[model] = Speed.of(Path(f"results/{model}/speed.json"))
        measured = self.speeds[model]
        speed, dtype = measured or Speed(), self.plan.study.models[model].dtype
        seconds, gib = speed.seconds(work, self.threads), speed.gib(work, dtype)
        return Expected(seconds, work.tokens, gib, self.models, measured is not None)
