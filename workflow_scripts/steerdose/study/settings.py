"""What each job depends on of the study, a class named after its rule; `slices` makes it, its script reads it."""

from typing import Literal

from pydantic import Field

from steerdose.study.base import Name, Part, Positions, Quantization
from steerdose.study.config import Calibration, Confidence, Measure, Pairs, Statistic, Threshold
from steerdose.study.endpoints import Endpoint, Reference, Relevance, TextEndpoint
from steerdose.study.kind import Target
from steerdose.study.methods import Activation, Adapter, Constructed, Import, Random
from steerdose.study.parts import By, Parts
from steerdose.study.probes import Probe
from steerdose.study.rollout import Forks, Trajectories
from steerdose.study.subspaces import Switches
from steerdose.study.tasks import LikelihoodTask, ReadTask, WritingTask


class Run(Part):
    """How a job runs the model; by default exactly, on the CPU. cuda_graphs: of jobs that let it write."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = "cpu"
    quantization: Quantization | None = None
    cuda_graphs: bool = False


class MeasureSpeed(Part):
    """Of engine.speed. rows: that the study decodes at a time."""

    run: Run
    rows: int


class GeneratePairs(Part):
    """Of make.pairs."""

    run: Run
    pairs: Pairs


class TrainAdapter(Part):
    """Of make.adapters; the delta does not count."""

    run: Run
    method: Adapter


class MergeDiff(Part):
    """Of make.delta."""

    method: Adapter


class CaptureActivations(Part):
    """Of make.captures."""

    run: Run
    batch_size: int


class FitRepe(Part):
    """Of make.fit."""

    method: Activation


class ConstructDelta(Part):
    """Of make.construct."""

    method: Constructed


class DrawControl(Part):
    """Of make.controls."""

    method: Random


class ImportSteering(Part):
    """Of exchange.read."""

    method: Import


class MakeParts(Part):
    """Of make.parts."""

    method: Parts


class ShareBases(Part):
    """Of make.bases. methods: the families, in the order of their files; columns: of a basis, at most."""

    methods: tuple[Name, ...]
    widths: tuple[int, ...]
    columns: int


class CaptureSites(Part):
    """Of subspaces.captures. switches: those of them that say how prompts are rendered and compared."""

    run: Run
    n_prompts: int
    switches: Switches


class BuildSubspaces(Part):
    """Of subspaces.build. columns: of a basis, at most."""

    layer_range: tuple[float, float]
    switches: Switches
    columns: int


class SweepSubspaces(CaptureActivations):
    """Of subspaces.sweep: one method's delta. exact: its weights from their factors."""

    n_heldout: int
    widths: tuple[int, ...]
    alpha: float
    exact: bool


class Subject(Part):
    """A method as a job sees it that runs the model: with a dose to be found, or the style of a system prompt."""

    target: Target | None = None
    style: str | None = None
    positions: Positions = "all"


class CalibrateAlpha(Part):
    """Of dose.calibrate: the methods of one job, and how their KL is measured."""

    run: Run
    calibration: Calibration
    methods: dict[Name, Subject]


class AuditDose(Part):
    """Of dose.audit: the same on held-out prompts, a part of them a job."""

    run: Run
    measure: Measure
    methods: dict[Name, Subject]
    first: int
    last: int


class GatherCalibration(Part):
    """Of dose.gather."""

    statistic: Statistic
    method: Name


class AuditProbe(Part):
    """Of outcomes.audit: the unsteered model on the questions of the rollouts."""

    run: Run
    trajectories: Trajectories
    probes: dict[Name, Probe]


class Rolled(Part):
    """The methods of one job, and how their trajectories are rolled out and read."""

    run: Run
    trajectories: Trajectories
    probes: dict[Name, Probe]
    readings: tuple[str, ...]
    methods: dict[Name, Subject]


class RolloutTrajectories(Rolled):
    """Of outcomes.trajectories: at all doses, on a part of the questions."""

    alphas: tuple[float, ...]
    first: int
    last: int


class GatherRollouts(Part):
    """Of outcomes.trajectories: one method of one job."""

    method: Name


class Asked(Part):
    """What the methods of one job are asked at all doses, by default those rolled out; on a part of a task's items."""

    run: Run
    alphas: tuple[float, ...]
    methods: dict[Name, Subject]
    first: int
    last: int


class ScoreTask(Asked):
    """Of outcomes.scores. template: of the questions, where the task reads answers to them."""

    task: ReadTask = Field(discriminator="kind")
    template: str


class WriteTexts(Asked):
    """Of outcomes.writing."""

    task: WritingTask


class ScoreTexts(Part):
    """Of benefit.texts: what one method wrote. endpoint: name and options of what says that a text is broken."""

    task: WritingTask
    method: Name
    endpoint: tuple[Name, TextEndpoint] | None


class ScreenParts(Part):
    """Of ablation.screen: the parts of one method's delta, cut in the ways of one group. effect: name of `task`."""

    run: Run
    ways: tuple[By, ...]
    widths: tuple[int, ...]
    draws: int
    alpha: float
    tolerance: float
    max_evaluations: int
    effect: Name
    task: ReadTask = Field(discriminator="kind")
    damage: Name
    texts: LikelihoodTask
    n_tokens: int
    template: str


class SetThreshold(Part):
    """Of survival.thresholds."""

    probes: tuple[Name, ...]
    threshold: Threshold
    minimum_base_pmass: float
    maximum_base_rep_4: float
    maximum_nll_ratio: float


class ForkGrid(Part):
    """Where forks stand, and the probe that decides."""

    probe: Name
    window: int
    forks: Forks


class RollReference(Part):
    """Of outcomes.reference."""

    run: Run
    reference: Reference
    template: str
    window: int


class ScoreRelevance(Part):
    """Of outcomes.relevance: texts on the first questions, read behind each other's."""

    run: Run
    relevance: Relevance
    template: str
    n_questions: int


class ScoreReference(ScoreRelevance):
    """The same of the reference cohort."""


class SetBands(Part):
    """Of outcomes.bands: the endpoints of kind text."""

    endpoints: dict[Name, TextEndpoint]


class KaplanMeier(ForkGrid):
    """Of survival.survive. order: of the endpoints, the deciding one first; a slice as text sorts its keys."""

    order: tuple[Name, ...]
    endpoints: dict[Name, Endpoint]
    statistic: Statistic
    confidence: Confidence


class MeasurePrefixes(Part):
    """Of outcomes.prefixes."""

    statistic: Statistic
    head: int
