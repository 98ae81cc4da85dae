"""The study: config.yaml, parsed once into frozen parts."""

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from steerdose.study.ablations import Ablations
from steerdose.study.base import (
    Count,
    Name,
    Part,
    Positions,
    Positive,
    Quantization,
    Seed,
    Share,
    Temperature,
    Text,
    unique,
)
from steerdose.study.endpoints import Deaths, Endpoint, Reference, Relevance
from steerdose.study.kind import Method, PromptTarget, Target
from steerdose.study.methods import Entry
from steerdose.study.probes import Probe
from steerdose.study.rollout import Names, Rollout
from steerdose.study.subspaces import Subspaces
from steerdose.study.tasks import LikelihoodTask, ReadTask, Task, WritingTask, measures_of

Statistic = Literal["mean", "p50", "rmse", "p90", "p95", "p99", "max"]
Confidence = Annotated[float, Field(ge=0.5, le=0.9999)]
Level = Annotated[float, Field(gt=0, le=1)]


class Selection(Part):
    """The cross product of models, behaviors and seeds, each with every method."""

    models: Names
    behaviors: Names
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    methods: Names = Field(description="Keys of `methods`, in the order of the figures' panels.")
    tasks: tuple[Name, ...] = Field((), description="Keys of `tasks`; each is asked at every alpha of the rollouts.")

    _unique = field_validator("models", "behaviors", "seeds", "methods", "tasks")(unique)


class Model(Part):
    """Where a model comes from, and how it is loaded."""

    source: Text = Field(description="pypi://name==version/path/in/wheel, a directory or .gguf file, or a hub id.")
    revision: Text | None = Field(description="Commit or tag of a hub id.")
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        description="Of the source's weights; null: unchecked."
    )
    dtype: Literal["float32", "bfloat16", "float16"]
    quantization: Quantization | None = Field(
        None,
        description="8bit or 4bit: the linear layers inside the blocks are rounded when the model is loaded, to save "
        "memory (an extra); steerings act on outputs, in float32. null: as they are.",
    )
    chat_template: str | None = Field(
        description="null: the tokenizer's own; plain: for base models; or Jinja text or a Jinja file."
    )
    trust_remote_code: bool


class Data(Part):
    """The files of texts; each is described in data/README.md."""

    prompts: Text
    questions: Text
    personas: Text
    system_prompts: Text


class Pairs(Part):
    """Answers of the model itself under opposite personas."""

    n_prompts: Annotated[int, Field(ge=2)]
    n_samples: Count
    batch_size: Count
    max_new_tokens: Count
    temperature: Temperature
    top_k: Count
    max_similarity: Share
    max_rejected: Share


class Repe(Part):
    """How activations are read."""

    batch_size: Count


class Measure(Part):
    """How the KL of a method is measured on prompts."""

    statistic: Statistic
    n_prompts: Count = Field(description="Of split calibration, on which the dose is set.")
    n_audit_prompts: Count
    max_new_tokens: Count
    batch_size: Count


class Calibration(Measure):
    """The dose alpha 1 of every method and sign."""

    target: Target = Field(description="Nats; or the KL of a prompt baseline, {prompt: name}.")
    n_search_prompts: Count = Field(20, description="Of n_prompts, the first ones: on these the dose is searched for.")
    tolerance: Annotated[float, Field(ge=1e-4, le=1)]
    max_evaluations: Count


class Jobs(Part):
    """How model jobs are cut and shared; no number depends on it."""

    threads: Count | None = Field(None, description="Of a job that runs the model; null: all cores.")
    gpus: Annotated[int, Field(ge=0)] = Field(1, description="That a model job asks for; 0 on a cluster without.")
    mem_mb: Annotated[int, Field(ge=1)] = Field(4000, description="Memory that a model job asks for, in MB.")
    runtime: Count = Field(60, description="Time that a model job asks for, in minutes.")
    partition: Text | None = Field(None, description="Slurm's, of model jobs; null: its default, or the profile's.")
    batches: Count | None = Field(None, description="Batches of prompts a job; null: all.")
    methods: Count = Field(1, description="Methods of one entry (kind parts) that share a job and its loaded model.")

    def resources(self) -> dict[str, int | str]:
        """Return what a model job asks for, by Snakemake's names; what is not asked for is left out."""
        asked = {"mem_mb": self.mem_mb, "runtime": self.runtime, "gpu": self.gpus, "slurm_partition": self.partition}
        return {name: value for name, value in asked.items() if value}


class Threshold(Part):
    """Of pmass: relative, times the unsteered model's median; or absolute."""

    kind: Literal["absolute", "relative"]
    value: Level


class Survival(Part):
    """What a death is, and how sure the estimates are to be."""

    endpoints: Names = Field(description="Keys of `endpoints`, each with its own curves; the first one decides.")
    threshold: Threshold
    minimum_base_pmass: Share
    maximum_base_rep_4: Share
    maximum_nll_ratio: Positive
    confidence: Confidence
    safe_level: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="A dose is safe if the lower confidence bound of survival at the window is above this, at it and "
        "at all smaller doses. n prompts without a death bound survival at ((1 - confidence) / 2) ** (1 / n)."
    )
    threshold_sweep: Annotated[tuple[Level, ...], Field(min_length=1)] = Field(
        description="Thresholds of the same kind as threshold, at which deaths and lethal doses are computed again."
    )

    _unique = field_validator("threshold_sweep", "endpoints")(unique)


class Reading(Part):
    """Texts to read."""

    n_prompts: Count
    n_tokens: Count


class Benefit(Part):
    """What counts as benefit, and what as damage: tasks, or one of their measures, as task.measure."""

    effects: dict[Name, Text] = Field(description="By behavior: what shows it.")
    damages: tuple[Text, ...]

    _unique = field_validator("damages")(unique)


class LmEval(Part):
    """How tasks of lm-evaluation-harness are run; its own options, by its names."""

    include_path: Text | None = Field(None, description="Folder of task files of yours; lm-eval's own need none.")
    num_fewshot: Annotated[int, Field(ge=0)] | None = None
    limit: Count | None = Field(None, description="Items of a task, the first ones; null: all.")
    batch_size: Count = 8
    chat_template: bool = Field(False, description="Whether prompts are put into the model's chat template.")


class Figures(Part):
    """How tables become pictures."""

    smoothing: Annotated[int, Field(ge=0)] = Field(
        description="Tokens of the centred mean over KL in the spaghetti figures, taken after the normalisation; 0 is "
        "none. A mean flattens spikes, so the axis names it."
    )
    fewest: Count = Field(description="Quantiles and medians of KL are drawn while so many trajectories are left.")
    most: Count = Field(12, description="Methods with panels or lines of their own in a figure; tables have all.")


class Study(Part):
    """config.yaml of a steerdose study."""

    study: Selection
    device: Annotated[str, Field(pattern=r"^(auto|cpu|balanced|cuda(:[0-9]+)?)$")]
    cuda_graphs: bool = Field(
        description="Whether a GPU records a decoding step's kernels and plays them again, where rows stay the same. "
        "On a CPU, and where a model is spread over several GPUs, nothing is recorded."
    )
    positions: Positions = Field(
        description="Which tokens a steering acts on: all; the prompt's alone; or the generated ones alone, as servers "
        "do that steer while they decode: the first token is never steered. What a probe asks counts as prompt."
    )
    models: Annotated[dict[Name, Model], Field(min_length=1)]
    data: Data
    pairs: Pairs
    methods: Annotated[dict[Name, Entry], Field(min_length=1)]
    comparisons: dict[Name, Annotated[tuple[Name, ...], Field(min_length=2), AfterValidator(unique)]] = Field(
        {},
        description="Named sets of methods that are tested against each other, in pairs. Empty: all methods of the "
        "study that stand alone, and none of kind parts.",
    )
    repe: Repe
    calibration: Calibration
    rollout: Rollout
    probes: Annotated[dict[Name, Probe], Field(min_length=1)]
    tasks: dict[Name, Task] = Field({}, description="What can be asked of a steered model; see study.tasks.")
    reference: Reference
    relevance: Relevance
    endpoints: Annotated[dict[Name, Endpoint], Field(min_length=1)]
    survival: Survival
    benefit: Benefit
    ablations: Ablations
    subspaces: Subspaces
    lm_eval: LmEval
    reading: Reading
    deaths: Deaths
    figures: Figures
    jobs: Jobs = Jobs()

    @cached_property
    def all_methods(self) -> dict[str, Method]:
        """Every method that the config defines, by name; entries of kind parts are spelled out."""
        return {name: each for entry, kind in self.methods.items() for name, each in kind.members(entry).items()}

    @cached_property
    def chosen(self) -> dict[str, Method]:
        """The methods of study.methods, by name, spelled out."""
        return {name: each for entry in self.study.methods for name, each in self.methods[entry].members(entry).items()}

    @cached_property
    def chosen_endpoints(self) -> dict[str, Endpoint]:
        """The endpoints of survival.endpoints, by name; the first one decides."""
        return {name: self.endpoints[name] for name in self.survival.endpoints}

    @cached_property
    def entries(self) -> dict[str, str]:
        """The config entry of every method."""
        return {name: entry for entry, kind in self.methods.items() for name in kind.members(entry)}

    @cached_property
    def chosen_tasks(self) -> dict[str, Any]:
        """The tasks of study.tasks, by name."""
        return {name: self.tasks[name] for name in self.study.tasks}

    def read_task(self, name: str) -> ReadTask:
        """Return a task that is read; its rules see no other."""
        task = self.tasks[name]
        assert not isinstance(task, WritingTask)
        return task

    @property
    def damage_texts(self) -> LikelihoodTask:
        """The task whose texts say what a part of a delta breaks."""
        task = self.tasks[self.ablations.damage]
        assert isinstance(task, LikelihoodTask)
        return task

    def written_task(self, name: str) -> WritingTask:
        """Return a task that writes; its rules see no other."""
        task = self.tasks[name]
        assert isinstance(task, WritingTask)
        return task

    def measured(self, name: str) -> tuple[str, str] | None:
        """Return task and measure of a name in `benefit`; None where the study does not ask the task."""
        task, _, measure = name.partition(".")
        if task not in self.chosen_tasks:
            return None
        return task, measure or measures_of(self.tasks[task])[0]

    def positions_of(self, method: str) -> Positions:
        """Return which tokens a method steers."""
        return self.all_methods[method].positions or self.positions

    def target_of(self, method: str) -> float | PromptTarget:
        """Return what a method is calibrated to."""
        return self.all_methods[method].target or self.calibration.target
