"""The kinds of methods. Each says of itself which rule makes it, whether it has a dose, its group, and what it is of.

Nothing else in the project asks a method for its kind.
"""

import difflib
import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, ValidationError, field_validator, model_validator

from steerdose.study.base import Count, Name, Part, Positive, Share, Text, rising, spelled, unique
from steerdose.study.estimators import ESTIMATORS, Estimator
from steerdose.study.kind import Method
from steerdose.study.parts import Parts
from steerdose.study.peft_options import options_of

Delta = Literal["difference", "bisector", "positive", "negative"]
PEFT_TYPES = (
    "ADALORA", "BOFT", "C3A", "DEFT", "DELORA", "FOURIERFT", "FROD", "GLORA", "GRALORA", "HIRA", "HRA", "IA3",
    "LN_TUNING", "LOHA", "LOKR", "LORA", "MISS", "OFT", "OSF", "PEANUT", "PSOFT", "PVERA", "RANDLORA", "ROAD",
    "SHIRA", "SUPERTUNING", "TINYLORA", "UNILORA", "VBLORA", "VERA", "WAVEFT",
)  # fmt: skip
HUB_ID = re.compile(r"(?![./])[\w.-]+/[\w.-]+@[\w./-]+")


class Training(Part):
    """How one sign of an adapter is trained."""

    steps: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    weight_decay: Annotated[float, Field(ge=0)]
    warmup_steps: Annotated[int, Field(ge=0)]
    precision: Literal["float32", "bfloat16"]
    max_tokens: Annotated[int, Field(ge=8)]
    eval_steps: Count
    heldout_fraction: Annotated[float, Field(gt=0, le=0.5)]


class Adapter(Method):
    """Two PEFT adapters, trained to answer under opposite personas; their weight deltas subtracted."""

    makes = "merge_diff"
    jobs = ("generate_pairs", "train_adapter.positive", "train_adapter.negative", "merge_diff", "calibrate_alpha")
    kind: Literal["adapter"]
    delta: Delta = Field(
        description="What is stored, with P and N the weight deltas of the positive and the negative adapter. "
        "difference: P - N. bisector: P / |P| - N / |N|, as long as P - N. positive: P. negative: -N, so that a "
        "positive coefficient always points to the positive persona."
    )
    peft_type: str = Field(
        description="PEFT's tuner families that train on text alone and merge into the weights of linear layers. "
        "DoRA, PiSSA and others are options of LORA.",
        json_schema_extra={"enum": list(PEFT_TYPES)},
    )
    options: dict[str, Any] = Field(description="The family's own options, checked by PEFT.")
    target_modules: Annotated[tuple[Text, ...], Field(min_length=1)]
    layer_range: tuple[Share, Share] = Field(description="Fractions of the depth, the end excluded.")
    training: Training

    _unique = field_validator("target_modules")(unique)

    @field_validator("peft_type")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in PEFT_TYPES:
            raise ValueError(f"'{value}' is not one of {list(PEFT_TYPES)}; give one of them, for example LORA")
        return value

    @field_validator("options")
    @classmethod
    def _finite(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(value, allow_nan=False)
        except ValueError as error:
            raise ValueError(f"{value} holds a number that is not finite; give a finite one") from error
        return value

    _rising = field_validator("layer_range")(rising)

    @property
    def origin(self) -> str:
        return f"{self.peft_type} adapters trained here, {self.delta}"

    @property
    def below(self) -> float:
        return self.layer_range[0]

    def problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        known = options_of(self.peft_type) or self.options.keys()
        for name in self.options:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"it has {sorted(known)}"
                yield ("options", name), f"{self.peft_type} of PEFT has no such option; {hint}"

    @property
    def is_additive(self) -> bool:
        """Whether PEFT trains it on rounded weights, and its change of a weight does not depend on that weight."""
        start = self.options.get("init_lora_weights", True)
        return self.peft_type == "LORA" and not self.options.get("use_dora") and start in (True, False, "gaussian")

    def trained(self) -> Self:
        """Return what a training depends on: all but the delta, and what `own` leaves out."""
        return self.own().model_copy(update={"delta": "difference"})


class Activation(Method):
    """An edit fitted to activations under opposite personas."""

    makes = "fit_repe"
    jobs = ("generate_pairs", "capture_activations", "fit_repe", "calibrate_alpha")
    kind: Literal["activation"]
    estimator: str = Field(json_schema_extra={"enum": list(ESTIMATORS)})
    options: dict[str, Any] = Field({}, description="The estimator's own, with the defaults of its entry.")
    depths: Annotated[tuple[Share, ...], Field(min_length=1, description="Fractions of the depth, an edit each.")]
    submodule: Text | None = Field(None, description="Path of a module inside the block; null: the block itself.")
    shuffle_labels: bool = Field(False, description="A control: which persona is positive is drawn for each pair.")

    _unique = field_validator("depths")(unique)

    @field_validator("estimator")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in ESTIMATORS:
            raise ValueError(f"'{value}' is not one of {list(ESTIMATORS)}")
        return value

    @property
    def fitted(self) -> Estimator:
        """The estimator's options, defaults filled in."""
        return ESTIMATORS[self.estimator].model_validate(self.options)

    def problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        try:
            _ = self.fitted
        except ValidationError as error:
            accepted = {key: field.default for key, field in ESTIMATORS[self.estimator].model_fields.items()}
            for found in error.errors():
                what = "unknown key" if found["type"] == "extra_forbidden" else found["msg"]
                text = f"{what[0].lower()}{what[1:]}, found {found['input']!r}; {self.estimator} accepts {accepted}"
                yield ("options", *found["loc"]), text

    @property
    def group(self) -> str:
        return "control" if self.shuffle_labels else "activation"

    @property
    def origin(self) -> str:
        labels = " with shuffled labels" if self.shuffle_labels else ""
        return f"{self.estimator} of activations read here{labels}"

    @property
    def below(self) -> float:
        return min(self.depths)


class Constructed(Method):
    """A weight delta of the base weights and of activations under opposite personas; nothing is trained."""

    makes = "construct_delta"
    jobs = ("generate_pairs", "capture_activations", "construct_delta", "calibrate_alpha")
    kind: Literal["constructed"]
    recipe: Literal["outer", "lm_head", "write_not_read", "least_squares"]
    writer: Text = Field(description="Path inside the block of a layer that writes to the residual stream.")
    layer_range: tuple[Share, Share] = Field(description="Fractions of the depth, the end excluded.")
    rank: Count = Field(32, description="Directions of the head, or of what weights write and read.")
    ridge: Positive = Field(0.1, description="Of least_squares, in units of the mean variance of an input.")

    _rising = field_validator("layer_range")(rising)

    @property
    def submodule(self) -> str:
        """What is captured for it beside the residual stream: the inputs of the layer."""
        return f"{self.writer}.input"

    @property
    def origin(self) -> str:
        return f"{self.recipe} of base weights and activations read here"

    @property
    def below(self) -> float:
        return self.layer_range[0]


class Random(Method):
    """A control: another method's edits with random directions of the same norms."""

    makes = "draw_control"
    jobs = ("draw_control", "calibrate_alpha")
    kind: Literal["random"]
    of: Name
    draw: Annotated[int, Field(ge=0, description="Which of the random copies.")]

    @property
    def group(self) -> str:
        return "control"

    @property
    def derives_from(self) -> str | None:
        return self.of

    @property
    def origin(self) -> str:
        return f"random copy {self.draw} of {self.of}"


class Import(Method):
    """A steering that another tool made."""

    makes = "import_steering"
    jobs = ("import_steering", "calibrate_alpha")
    kind: Literal["import"]
    format: Literal["peft", "control_vector", "steering_vectors", "vectors", "checkpoint"]
    positive: Text = Field(description="A local path, or a hub id with its revision: owner/name@revision.")
    negative: Text | None = Field(description="The opposite of `positive`, subtracted from it; null: none.")
    delta: Delta | None = Field(None, description="As of an adapter; only for two adapters. Absent: difference.")
    ignore: tuple[Text, ...] = Field(
        (),
        description="What may differ from the model and is left out: names or patterns of a checkpoint's parameters "
        "that are no weights of linear layers, and base_model, the name of the model that a source says it was made "
        "for.",
    )

    layers: Annotated[tuple[int | str, ...], Field(min_length=1)] | None = Field(
        None, description="Which blocks of it are applied: numbers from 0, or ranges like 10-20. Absent: all it holds."
    )

    _unique = field_validator("ignore")(unique)

    @field_validator("layers")
    @classmethod
    def _numbers(cls, value: tuple[int | str, ...] | None) -> tuple[int, ...] | None:
        given = spelled(value or ())
        if not all(each.isdecimal() for each in given):
            raise ValueError(f"{list(value or ())} are no numbers of layers; give numbers from 0, or ranges like 10-20")
        return unique(tuple(map(int, given))) or None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.delta and (self.format != "peft" or not self.negative):
            raise ValueError("delta: only two adapters (format peft, positive and negative) have one; remove it")
        if self.format != "checkpoint" and (unknown := set(self.ignore) - {"base_model"}):
            raise ValueError(f"ignore: {sorted(unknown)}: format {self.format} can only ignore base_model")
        return self

    @property
    def sources(self) -> dict[str, str]:
        """The sources by side, without those that are null."""
        return {side: source for side in ("positive", "negative") if (source := getattr(self, side))}

    @property
    def origin(self) -> str:
        return f"imported from {' and '.join(self.sources.values())}"


class Prompt(Method):
    """A baseline without a dose: a system prompt."""

    jobs = ("calibrate_alpha",)
    has_dose = False
    kind: Literal["prompt"]
    style: Literal["simple", "engineered"] = Field(description="Which text of data.system_prompts.")
    target: None = Field(None, description="A prompt has no dose to calibrate.")

    @property
    def system_style(self) -> str | None:
        return self.style

    @property
    def origin(self) -> str:
        return f"{self.style} system prompt"


Entry = Annotated[Adapter | Activation | Constructed | Random | Import | Prompt | Parts, Discriminator("kind")]
