"""What is done to the model in one row of a batch: a steering at a coefficient, a system text, or nothing."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from steerdose.columns import sign_of
from steerdose.steering.steering import Dial, Steering, steer
from steerdose.study.base import Positions

Read = Literal["prompt", "generated"]


def coefficient_of(alpha: float, calibration: Mapping[str, Any]) -> float:
    """Return alpha times the c_star of its sign. calibration: what calibration/{method}.json holds."""
    return float(alpha * calibration[sign_of(alpha)]["c_star"])


@dataclass(frozen=True)
class Intervention:
    """A steering at a coefficient, behind a system text; a prompt baseline has only the text.

    alpha: the dose in units of c_star, where it is known; of a prompt 1 is the positive text and -1 the negative one.
    positions: which tokens the steering acts on: all, those of the prompt, or the generated ones.
    Raises ValueError for a coefficient without a steering.
    """

    steering: Steering | None = None
    coefficient: float = 0.0
    system: str | None = None
    alpha: float | None = None
    positions: Positions = "all"

    def __post_init__(self) -> None:
        if self.steering is None and self.coefficient:
            raise ValueError("a coefficient needs a steering")

    def at(self, part: Read) -> float:
        """Return the coefficient at tokens of the prompt, or at generated ones."""
        return self.coefficient if self.positions in ("all", part) else 0.0

    @property
    def is_plain(self) -> bool:
        """Whether the model is left as it is: no coefficient and no system text."""
        return self.coefficient == 0 and self.system is None

    @property
    def tabled_coefficient(self) -> float | None:
        """What tables show as its coefficient: a prompt has none."""
        return None if self.system is not None else self.coefficient

    @property
    def label(self) -> str:
        """What errors call it beside its coefficient."""
        return "" if self.alpha is None else f"(alpha {self.alpha:g})"


UNSTEERED = Intervention(alpha=0.0)


def steered_at(
    alphas: Sequence[float], steering: Steering, calibration: Mapping[str, Any], positions: Positions
) -> list[Intervention]:
    """Return the interventions of a steering at several doses. calibration: as in `coefficient_of`."""
    return [
        Intervention(steering, coefficient_of(alpha, calibration), alpha=float(alpha), positions=positions)
        for alpha in alphas
    ]


def prompted_at(alphas: Sequence[float], texts: Mapping[str, str]) -> list[Intervention]:
    """Return the interventions of a prompt baseline. texts: by sign; alpha 0 is the model without system text.

    Raises ValueError for an alpha other than -1, 0 and 1: a prompt has no dose.
    """
    if not {*alphas} <= {-1, 0, 1}:
        raise ValueError(f"a prompt has the alphas -1, 0 and 1, found {sorted(alphas)}")
    return [Intervention(system=texts[sign_of(alpha)] if alpha else None, alpha=float(alpha)) for alpha in alphas]


class Dials:
    """The coefficients of several active steerings, of which every row has one at most."""

    def __init__(self, dials: Mapping[Steering, Dial]) -> None:
        self._dials = dials

    def coefficients(self, interventions: Sequence[Intervention], part: Read) -> Tensor:
        """Return the coefficient of every active steering in every row, (steerings, rows), 0 in the rows of others.

        part: where it acts, on tokens of the prompt or on generated ones.
        """
        rows = [[each.at(part) if each.steering is s else 0.0 for each in interventions] for s in self._dials]
        return torch.tensor(rows).reshape(len(self._dials), len(interventions))

    def turn(self, coefficients: Tensor) -> None:
        """coefficients: (steerings, rows), (steerings,) for all rows alike, or (steerings, rows, tokens)."""
        for dial, coefficient in zip(self._dials.values(), coefficients, strict=True):
            dial.coefficient = coefficient


def steerings_of(interventions: Sequence[Intervention]) -> list[Steering]:
    """Return the distinct steerings in order of their first use."""
    return list(dict.fromkeys(each.steering for each in interventions if each.steering is not None))


@contextmanager
def activate(model: nn.Module, steerings: Sequence[Steering]) -> Iterator[Dials]:
    """Have several steerings active on a model, all at 0 until the dials are turned."""
    with ExitStack() as stack:
        yield Dials({each: stack.enter_context(steer(model, each, 0.0)) for each in steerings})
