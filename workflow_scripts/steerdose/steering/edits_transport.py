"""Edits that carry one distribution of outputs over to another."""

from dataclasses import dataclass, fields
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import linear

from steerdose.steering.edit import TINY, Edit


@dataclass(frozen=True)
class Transport(Edit):
    """y + c (scale y + shift), coordinate by coordinate: (1 - c) y + c T(y) with T(y) = (1 + scale) y + shift.

    c = 1 is the whole transport. scale, shift: (out,).
    """

    opposite: ClassVar[bool] = False  # -c extrapolates the map; it is not the transport back
    summable: ClassVar[bool] = False
    directions: ClassVar[tuple[str, ...]] = ("scale", "shift")
    scale: Tensor
    shift: Tensor

    @property
    def width(self) -> int:
        return self.shift.shape[0]

    def change(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:  # noqa: ARG002
        return c * (self.scale * y + self.shift)

    def zero_fields(self) -> list[str]:
        zeros = super().zero_fields()
        return zeros if len(zeros) == len(fields(self)) else []


@dataclass(frozen=True)
class ShiftClusters(Edit):
    """y + c sum_k w_k shift_k, w = softmax over the centres of (log mass_k - |y - centre_k|^2 / (2 sigma^2)).

    centres, shifts: (k, out); log_mass: (k,); sigma: ().
    """

    summable: ClassVar[bool] = False
    directions: ClassVar[tuple[str, ...]] = ("shifts",)
    centres: Tensor
    shifts: Tensor
    log_mass: Tensor
    sigma: Tensor

    @property
    def width(self) -> int:
        return self.shifts.shape[1]

    def change(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:  # noqa: ARG002
        peak = y.abs().amax(-1, keepdim=True).clamp_min(TINY)  # |y|^2 is common to all centres and cancels
        closeness = linear(y / peak, self.centres) * peak - self.centres.square().sum(-1) / 2
        weights = (closeness / self.sigma.square()).clamp(-1e30, 1e30) + self.log_mass
        return c * linear(weights.softmax(-1), self.shifts.T)

    def zero_fields(self) -> list[str]:
        return [name for name in super().zero_fields() if name in self.directions]
