"""What rules depend on that publish results: tables, figures and pages. As `settings`, of which it is a part.

A class is named after its rule.
"""

from typing import Any

from steerdose.study.base import Name, Part, Positions
from steerdose.study.config import Confidence, LmEval, Reading, Statistic, Threshold
from steerdose.study.endpoints import Endpoint, Relevance
from steerdose.study.probes import ProbeKind
from steerdose.study.rollout import Design, Forks
from steerdose.study.settings import ForkGrid, KaplanMeier, Rolled, Run
from steerdose.study.tasks import Task


class DesignRollouts(Rolled):
    """Of design.rollouts. survival: of the deciding endpoint."""

    design: Design
    survival: KaplanMeier


class TabulateAggregation(Part):
    """Of tables.aggregation."""

    confidence: Confidence


class TabulateHazards(Part):
    """Of tables.hazards."""

    endpoint: Endpoint
    window: int
    forks: Forks
    confidence: Confidence


class TabulateLogrank(Part):
    """Of tables.logrank: named sets of methods that are compared in pairs."""

    comparisons: dict[str, tuple[Name, ...]]


class TabulateContrasts(TabulateLogrank):
    """Of tables.contrasts. effects: task and measure of the benefit by behavior."""

    tasks: dict[Name, Task]
    effects: dict[Name, tuple[Name, Name]]
    confidence: Confidence


class TabulateClaims(Part):
    """Of tables.claims. groups: of every method."""

    groups: dict[Name, Name]
    confidence: Confidence


class TabulateDoseResponse(Part):
    """Of tables.dose_response."""

    confidence: Confidence
    safe_level: float


class TabulateRanking(Part):
    """Of tables.ranking."""

    confidence: Confidence


class TabulateThresholdSweep(ForkGrid):
    """Of tables.threshold_sweep."""

    models: tuple[Name, ...]
    threshold: Threshold
    values: tuple[float, ...]
    confidence: Confidence
    safe_level: float


class TabulateProbes(Part):
    """Of tables.probes."""

    models: tuple[Name, ...]
    probes: tuple[Name, ...]
    window: int
    forks: Forks
    minimum_base_pmass: float


class TabulateEffects(Part):
    """Of tables.effects."""

    tasks: dict[Name, Task]
    confidence: Confidence


class TabulateSpecificity(TabulateEffects):
    """Of tables.specificity. controls: the methods that push at random."""

    controls: tuple[Name, ...]


class TabulateDose(TabulateSpecificity):
    """Of tables.dose. effects: task and measure by behavior. damages: the same; prompts: methods without a dose."""

    effects: dict[Name, tuple[Name, Name]]
    damages: tuple[tuple[Name, Name], ...]
    prompts: tuple[Name, ...]


class TabulateAblations(TabulateEffects):
    """Of tables.ablations. effects: task and measure by behavior. damage: a task of texts, by its name."""

    effects: dict[Name, tuple[Name, Name]]
    damage: tuple[Name, Task]


class TabulateSubspaceParts(TabulateAblations):
    """Of tables.ablations: the parts in bases of hypotheses."""


class TabulateSubspaces(Part):
    """Of tables.subspaces. methods: in the order of their rows."""

    methods: tuple[Name, ...]
    confidence: Confidence


class TabulateRelevance(Part):
    """Of tables.relevance."""

    relevance: Relevance
    confidence: Confidence


class TabulateAnswers(Part):
    """Of tables.answers: the kinds of the probes that are rolled out."""

    kinds: dict[Name, ProbeKind]
    confidence: Confidence


class TabulateDeaths(Part):
    """Of tables.deaths."""

    significance: float


class MethodFiles(Part):
    """One method of one cell, with the files that say what it cost: null where it has none."""

    model: Name
    behavior: Name
    seed: int
    method: Name
    group: str
    origin: str
    calibration: str
    steering: str | None
    geometry: str | None
    benchmarks: tuple[str, ...]
    member: str | None = None  # of its steering file, where that holds several methods

    def modules(self, geometry: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the method's own modules of geometry.json."""
        return [module for module in geometry["modules"] if module.get("member") == self.member]


class TabulateMethods(Part):
    """Of tables.methods."""

    methods: tuple[MethodFiles, ...]
    probe: Name
    kind: ProbeKind


class TabulateGeometry(Part):
    """Of tables.geometry."""

    methods: tuple[MethodFiles, ...]


class Panels(Part):
    """Of figures: the methods that every entry of the study stands for, in order, and how many have a place."""

    members: dict[Name, tuple[Name, ...]]
    most: int


class PlotCalibration(Panels):
    """Of figures.calibration, dose_response and lethal_dose: which searches did not converge."""

    tolerance: float
    statistic: Statistic


class PlotSpaghetti(Panels):
    """Of figures.spaghetti."""

    smoothing: int
    fewest: int


class PlotSpaghettiNormalised(PlotSpaghetti):
    """Of figures.spaghetti_normalised."""

    head: int


class PlotKlFan(Panels):
    """Of figures.kl_fan."""

    window: int
    fewest: int


class PlotAggregate(Panels):
    """Of figures.aggregate."""

    grid: ForkGrid
    models: tuple[Name, ...]
    fewest: int


class PlotProbes(Part):
    """Of figures.probes."""

    minimum: float


class PlotFrontier(Panels):
    """Of figures.frontier. effects: task and measure by behavior; damages: the same."""

    effects: dict[Name, tuple[Name, Name]]
    damages: tuple[tuple[Name, Name], ...]


class PlotScreening(Part):
    """Of figures.screening. parts: of what, how cut, its name and side, by method. effects: as written, by behavior."""

    parts: dict[Name, tuple[Name, Name, Name, Name]]
    effects: dict[Name, tuple[Name, Name]]


class WriteReading(Part):
    """Of pages.reading."""

    probe: Name
    reading: Reading


class WriteCard(Part):
    """Of exchange.card. imported: whether another tool made the steering."""

    confidence: Confidence
    origin: str
    imported: bool


class RunLmEval(Part):
    """Of exchange.harness."""

    run: Run
    positions: Positions
    options: LmEval
