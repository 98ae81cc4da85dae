"""Edits along directions of the module's output: added, removed, gated, turned to."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear

from steerdose.steering.edit import Edit, norm_and_unit


@dataclass(frozen=True)
class _Along(Edit):
    """Edits of one direction v: (out,)."""

    directions: ClassVar[tuple[str, ...]] = ("v",)
    v: Tensor

    @property
    def width(self) -> int:
        return self.v.shape[0]


@dataclass(frozen=True)
class Add(_Along):
    """y + c v: a direction added to every token. v: (out,)."""

    def change(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:  # noqa: ARG002
        return c * self.v

    def norm(self) -> float:
        return float(self.v.double().norm())


@dataclass(frozen=True)
class Ablate(_Along):
    """y - c (y.v) v with v a unit vector: c = 1 removes the direction, c = 0 changes nothing. v: (out,)."""

    opposite: ClassVar[bool] = False  # -1 doubles the component that 1 removes
    summable: ClassVar[bool] = False

    def change(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:  # noqa: ARG002
        return -c * (y @ self.v).unsqueeze(-1) * self.v


@dataclass(frozen=True)
class Gated(_Along):
    """y + c max(|cos(y, v)| - threshold, 0) v with v a unit vector: tokens that already speak of v. threshold: ()."""

    summable: ClassVar[bool] = False
    threshold: Tensor

    def change(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:  # noqa: ARG002
        cosine = (norm_and_unit(y)[1] @ self.v).unsqueeze(-1)
        return c * (cosine.abs() - self.threshold).clamp_min(0) * self.v

    def zero_fields(self) -> list[str]:
        return [name for name in super().zero_fields() if name != "threshold"]


@dataclass(frozen=True)
class AddNearest(Edit):
    """y + c v_k, k the direction nearest to the token by cosine. v: (k, out), unit rows."""

    summable: ClassVar[bool] = False
    directions: ClassVar[tuple[str, ...]] = ("v",)
    v: Tensor

    @property
    def width(self) -> int:
        return self.v.shape[1]

    def change(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:  # noqa: ARG002
        return c * self.v[linear(norm_and_unit(y)[1], self.v).argmax(-1)]


@dataclass(frozen=True)
class Turn(_Along):
    """Turn y by the share c of its angle to the unit vector v, along the great circle; its norm is kept. v: (out,).

    c = 1 ends at v, other values go on along the circle: c has a period. Where no plane is defined (y is zero, or
    parallel to v in either sense) y stays as it is.
    """

    opposite: ClassVar[bool] = False  # -c turns away along the same circle, and passes -v
    summable: ClassVar[bool] = False

    def change(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:  # noqa: ARG002
        norm, unit = norm_and_unit(y)
        cosine = (unit @ self.v).unsqueeze(-1)
        sine, side = norm_and_unit(self.v - cosine * unit)
        angle = c * torch.atan2(sine, cosine)
        turned = -2 * (angle / 2).sin().square() * unit + angle.sin() * side  # cos(angle) - 1 without cancellation
        return torch.where(sine > 1e-6, norm * turned, 0.0)


@dataclass(frozen=True)
class Rotate(Edit):
    """Rotate y by c radians within the plane of b1 and b2, from b2 towards b1; its norm is kept.

    b1, b2: (out,), orthonormal.
    """

    opposite: ClassVar[bool] = False  # -c undoes the rotation, but its change is not the reversed one
    summable: ClassVar[bool] = False
    b1: Tensor
    b2: Tensor

    @property
    def width(self) -> int:
        return self.b1.shape[0]

    def change(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:  # noqa: ARG002
        p1, p2 = ((y @ b).unsqueeze(-1) for b in (self.b1, self.b2))
        cosine_less_1 = -2 * (c / 2).sin().square()
        return (cosine_less_1 * p1 + c.sin() * p2) * self.b1 + (cosine_less_1 * p2 - c.sin() * p1) * self.b2
