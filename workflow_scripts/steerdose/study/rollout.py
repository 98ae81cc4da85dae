"""How trajectories are rolled out and read: a part of the study."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from steerdose.study.base import Count, Name, Part, Temperature, unique

Names = Annotated[tuple[Name, ...], Field(min_length=1)]
SMALLEST, LARGEST = 1e-3, 1000  # of a dose, in units of the calibrated one
Dose = Annotated[float, Field(ge=SMALLEST, le=LARGEST)]
READINGS = (("steered",), ("steered", "unsteered"))


class Forks(Part):
    """Where probes are read: `count` log-spaced forks from 0 to the window, or one every n tokens."""

    count: Annotated[int, Field(ge=2)] | None = None
    every: Count | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.count is None) == (self.every is None):
            raise ValueError("give either `count` or `every`, for example {count: 10}")
        return self


class Decoding(Part):
    """Tokens are drawn, not chosen."""

    temperature: Temperature
    top_p: Annotated[float, Field(gt=0, le=1)]
    n_samples: Count = Field(description="Texts of each prompt and dose; estimates are clustered by prompt.")


class Trajectories(Part):
    """What a trajectory depends on besides its dose and its probes."""

    decoding: Literal["greedy"] | Decoding = Field("greedy", description="greedy; or {temperature, top_p, n_samples}.")
    n_questions: Count
    template: Annotated[str, Field(pattern="[{]question[}]")]
    window: Count = Field(description="The number of tokens to roll out, for example 128.")
    batch_size: Count
    forks: Forks

    @model_validator(mode="after")
    def _inside(self) -> Self:
        asked = (self.forks.count or 1) - 1, self.forks.every or 1
        if max(asked) > self.window:
            raise ValueError(f"forks: there are {self.window + 1} places, from 0 to the window; ask for fewer")
        return self

    @property
    def drawn(self) -> Decoding | None:
        """How tokens are drawn; None: they are not."""
        return None if self.decoding == "greedy" else self.decoding

    @property
    def n_samples(self) -> int:
        return self.drawn.n_samples if self.drawn else 1


class Design(Part):
    """Where `alphas: auto` looks for the lethal dose of a method, one dose after another."""

    lowest: Dose = Field(0.125, description="Dose, in units of the calibrated one.")
    highest: Dose = Field(8.0, description="Dose; the lethal one beyond it is not found.")
    ratio: Annotated[float, Field(ge=1, le=100)] = Field(
        1.5, description="Upper over lower bound of the lethal dose at which no further dose is tried."
    )
    most: Count = Field(6, description="Doses of a method, at most.")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.lowest >= self.highest:
            raise ValueError(f"lowest {self.lowest:g} is not below highest {self.highest:g}")
        return self


class Rollout(Trajectories):
    """How trajectories are rolled out and read."""

    alphas: Annotated[tuple[float, ...], Field(min_length=1)] | Literal["auto"] = Field(
        description="Doses; auto: each method gets its own, placed in turn where its lethal dose is; see design."
    )
    design: Design = Design()
    probes: Names = Field(description="Keys of `probes`, each read at every fork; the first decides death.")
    readings: tuple[str, ...] = Field(
        json_schema_extra={"enum": [list(readings) for readings in READINGS]},
        description="Who reads the probe behind the steered text: the steered model, and the unsteered one. What only "
        "the first fails to answer is damage of the readout; what both fail is damage of the text.",
    )

    _unique = field_validator("probes")(unique)

    @field_validator("readings")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value not in READINGS:
            raise ValueError(f"{list(value)} is neither [steered] nor [steered, unsteered]")
        return value

    @property
    def fixed(self) -> tuple[float, ...]:
        """The doses that are known beforehand; with auto those of a prompt, which has no other."""
        return (0.0, 1.0) if self.alphas == "auto" else self.alphas

    @field_validator("alphas")
    @classmethod
    def _with_zero(cls, value: tuple[float, ...] | Literal["auto"]) -> tuple[float, ...] | Literal["auto"]:
        if value == "auto":
            return value
        if 0 not in value:
            raise ValueError("must contain 0, the unsteered model that every dose is compared with; add 0 to the list")
        unique(value)
        if len(value) == 1:
            raise ValueError("0 alone is the unsteered model; add a dose, for example 1")
        if odd := [alpha for alpha in value if alpha and not SMALLEST <= abs(alpha) <= LARGEST]:
            raise ValueError(f"{odd}: doses are in units of the calibrated one, from {SMALLEST:g} to {LARGEST}")
        return value
