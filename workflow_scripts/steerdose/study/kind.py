"""What every kind of method says of itself: its rule, whether it has a dose, its group, what it is made of."""

from collections.abc import Iterator
from typing import ClassVar, Self

from pydantic import Field

from steerdose.study.base import Name, Part, Positions, Positive


class PromptTarget(Part):
    """The KL of a prompt baseline, measured on the same prompts, in place of nats."""

    prompt: Name


Target = Positive | PromptTarget


class Method(Part):
    """One way to steer inside a cell.

    makes: the rule that writes its steering; None where it has none. jobs: the rules whose time it costs up to its
    calibration, as `rule` or `rule.suffix`. has_dose: whether a coefficient can be calibrated.
    """

    makes: ClassVar[str | None] = None
    jobs: ClassVar[tuple[str, ...]] = ()
    has_dose: ClassVar[bool] = True
    target: Target | None = Field(None, description="Of its calibration; absent: calibration.target.")
    positions: Positions | None = Field(None, description="Which tokens it steers; absent: positions.")

    @property
    def group(self) -> str:
        """What it is compared within and coloured by."""
        return type(self).__name__.lower()

    @property
    def derives_from(self) -> str | None:
        """The method whose steering it is made of."""
        return None

    @property
    def origin(self) -> str:
        """Where its steering comes from, in words."""
        raise NotImplementedError

    @property
    def system_style(self) -> str | None:
        """The style of its system prompts; None where it has none."""
        return None

    @property
    def sources(self) -> dict[str, str]:
        """The files or hub ids that it is made of, by side; none for what is made here."""
        return {}

    @property
    def below(self) -> float:
        """The share of the blocks that it leaves as they are, from the first; 0 where that is not known."""
        return 0.0

    def problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what is wrong with options that only this kind understands: key path below the entry, and text."""
        return iter(())

    def members(self, name: str) -> dict[str, "Method"]:
        """Return the methods that the entry `name` stands for: itself, or many."""
        return {name: self}

    def own(self) -> Self:
        """Return what its steering depends on: all but the target and the positions."""
        return self.model_copy(update={"target": None, "positions": None})
