"""What every kind of method says of itself: its rule, whether it has a dose, its group, what it is made of."""

from typing import ClassVar

from pydantic import Field

from steerdose.study.base import Name, Part, Positive


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

    def members(self, name: str) -> dict[str, "Method"]:
        """Return the methods that the entry `name` stands for: itself, or many."""
        return {name: self}

    def own(self) -> "Method":
        """Return what its steering depends on: all but the target."""
        return self.model_copy(update={"target": None})
