"""Taking trained deltas apart: which, in which ways, and on how much text the parts are screened."""

from typing import Annotated

from pydantic import Field, field_validator

from steerdose.study.base import Count, Name, Part, Positive, Text, unique
from steerdose.study.parts import OF_SUBSPACES, By

Widths = Annotated[tuple[Count, ...], Field(min_length=1)]
# Ways that share a job: those of one group need the same things.
GROUPS: dict[str, tuple[By, ...]] = {
    "modules": ("layer", "module", "third", "role"),
    "spectra": ("rank", "quartile", "energy", "form", "base"),
    "bases": ("shared", "others", "top", "tail", "random_basis"),
    "controls": ("random", "random_overall", "random_module", "directions"),
    "hypotheses": OF_SUBSPACES,  # of `subspaces.causal`
}
EVERY = tuple(by for ways in GROUPS.values() for by in ways if by not in OF_SUBSPACES)


class Ablations(Part):
    """Parts of trained deltas, screened by reading fixed texts."""

    methods: tuple[Name, ...] = Field((), description="Whose weight deltas are taken apart; empty: none is.")
    ways: Annotated[tuple[By, ...], Field(min_length=1)] = Field(EVERY, description="To cut; see kind parts.")
    widths: Widths = Field((8, 32, 64), description="Directions of a basis that a delta is projected on.")
    draws: Count = Field(6, description="Random copies of a delta.")
    effects: dict[Name, Text] = Field({}, description="By behavior: a task that is read and shows it.")
    n_items: Count = Field(20, description="Of that task, the first.")
    damage: Name = Field("text", description="A task of kind likelihood: the unsteered model's own answers.")
    n_answers: Count = Field(6, description="Of these answers.")
    n_tokens: Count = Field(24, description="Of each of these answers, the first.")
    alpha: Positive = Field(1.0, description="Dose of the whole delta, in units of its c_star.")
    tolerance: Annotated[Positive, Field(lt=1)] = Field(
        0.05, description="Relative, of a KL that is matched to the whole delta's."
    )
    max_evaluations: Count = Field(3, description="To match a part's KL.")

    _unique = field_validator("methods", "ways", "widths")(unique)

    @field_validator("ways")
    @classmethod
    def _cut_in(cls, value: tuple[By, ...]) -> tuple[By, ...]:
        if wrong := sorted({*value} - {*EVERY}):
            raise ValueError(f"{wrong}: parts in bases of hypotheses are read for the methods of subspaces.causal")
        return value

    def ways_of(self, group: str) -> tuple[By, ...]:
        """Return the ways of a group that are asked for."""
        return tuple(by for by in GROUPS[group] if by in self.ways)

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(group for group in GROUPS if self.ways_of(group))
