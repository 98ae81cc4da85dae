"""Edits that are weight deltas: linear in the module's input."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import linear

from steerdose.errors import SteerdoseError
from steerdose.steering.edit import Edit


@dataclass(frozen=True)
class LowRank(Edit):
    """y + c B A x: a weight delta of rank r. A: (r, in), B: (out, r)."""

    is_weight_delta = True
    A: Tensor
    B: Tensor

    @property
    def width(self) -> int:
        return self.B.shape[0]

    def change(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:  # noqa: ARG002
        return linear(linear(x.float(), self.A) * c, self.B)

    def norm(self) -> float:
        A, B = self.A.double(), self.B.double()  # |B A|^2 from two Gram matrices of the rank's size
        return float(((B.T @ B) * (A @ A.T)).sum().clamp_min(0).sqrt())


@dataclass(frozen=True)
class Dense(Edit):
    """y + c dW x: a weight delta of full rank. dW: (out, in)."""

    is_weight_delta = True
    dW: Tensor  # noqa: N815

    @property
    def width(self) -> int:
        return self.dW.shape[0]

    def change(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:  # noqa: ARG002
        return linear(x.float(), self.dW) * c

    def norm(self) -> float:
        return float(self.dW.double().norm())


def matrix(edit: Edit) -> Tensor:
    """Return the delta that a stored weight edit stands for, (out, in) in float64."""
    if isinstance(edit, LowRank):
        return edit.B.double() @ edit.A.double()
    if isinstance(edit, Dense):
        return edit.dW.double()
    raise SteerdoseError(f"{type(edit).__name__} edits an output, not a weight; give LowRank or Dense")
