"""Edits: what a steering does to the output y of one module (input x), given a coefficient c.

`apply(x, y, 0) == y` bit for bit, for every edit and every row. An edit defines only the change that it adds to y; the
arithmetic is fp32 whatever the dtype of y.
"""

from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import linear

from steerdose.errors import SteerdoseError

TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Edit:
    """One change of a module's output. Fields are fp32 tensors; the last axis of `y` has `width` entries.

    opposite: whether the change at -c is the change at c reversed, and means the opposite.
    summable: whether two edits of this kind may be added up to one.
    directions: the fields whose last axis is a direction, which a random control replaces.
    """

    opposite: ClassVar[bool] = True
    summable: ClassVar[bool] = True
    directions: ClassVar[tuple[str, ...]] = ()

    @property
    def width(self) -> int:
        raise NotImplementedError

    def change(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:
        """Return what is added to y, fp32. Arguments as in `apply`, but y is fp32 already."""
        raise NotImplementedError

    def apply(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:
        """Return the edited output. x: (rows, tokens, in), y: (rows, tokens, out), c: (rows, 1, 1) or a scalar."""
        wide = y.float()
        return torch.where(c == 0, y, (wide + self.change(x, wide, c)).to(y.dtype))

    def norm(self) -> float | None:
        """Return the Frobenius norm of a weight delta, or the length of an added direction; else None."""
        return None

    def tensors(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def zero_fields(self) -> list[str]:
        """Return the fields that are all zeros and thereby leave the edit without any effect."""
        return [name for name, tensor in self.tensors().items() if not tensor.any()]


def norm_and_unit(y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the norms (..., 1) and unit vectors of the last axis; a zero vector stays one. No square can overflow."""
    peak = y.abs().amax(-1, keepdim=True).clamp_min(TINY)
    length = (y / peak).norm(dim=-1, keepdim=True)
    return peak * length, y / peak / length.clamp_min(TINY)


@dataclass(frozen=True)
class LowRank(Edit):
    """y + c B A x: a weight delta of rank r. A: (r, in), B: (out, r)."""

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


@dataclass(frozen=True)
class _SSpace(Edit):
    """Edits in S-space, the coordinates s = (y - bias) basis / root of a linear layer's own singular modes.

    basis: (out, r), orthonormal columns; root: (r,), square roots of the singular values; bias: (out,);
    d: (r,), a unit vector of S-space.
    """

    summable: ClassVar[bool] = False
    directions: ClassVar[tuple[str, ...]] = ("d",)
    basis: Tensor
    root: Tensor
    bias: Tensor
    d: Tensor

    @property
    def width(self) -> int:
        return self.basis.shape[0]

    def coordinates(self, y: Tensor) -> Tensor:
        """Return s: (rows, tokens, r)."""
        return (y - self.bias) @ self.basis / self.root

    def back(self, s: Tensor) -> Tensor:
        """Return the change of y that a change of s is: (..., out)."""
        return linear(s * self.root, self.basis)

    def zero_fields(self) -> list[str]:
        return [name for name in super().zero_fields() if name != "bias"]


@dataclass(frozen=True)
class AddS(_SSpace):
    """s + c |cos(s, d)| d: a direction added in S-space, in proportion to how much the token lies along it."""

    def change(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:  # noqa: ARG002
        cosine = (norm_and_unit(self.coordinates(y))[1] @ self.d).unsqueeze(-1)
        return c * cosine.abs() * self.back(self.d)


@dataclass(frozen=True)
class AblateS(_SSpace):
    """s - c (s.d) d: c = 1 removes the direction from S-space."""

    opposite: ClassVar[bool] = False  # as for Ablate

    def change(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:  # noqa: ARG002
        return -c * (self.coordinates(y) @ self.d).unsqueeze(-1) * self.back(self.d)


@dataclass(frozen=True)
class ScaleS(_SSpace):
    """s_i exp(clamp(c d_i, -4, 4)): modes amplified and damped."""

    opposite: ClassVar[bool] = False  # -c divides by what c multiplies with

    def change(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:  # noqa: ARG002
        return self.back(self.coordinates(y) * (c * self.d).clamp(-4, 4).expm1())


EDITS: dict[str, type[Edit]] = {
    kind.__name__: kind
    for kind in (
        LowRank, Dense, Add, Ablate, Gated, AddNearest, Turn, Rotate, Transport, ShiftClusters, AddS, AblateS, ScaleS,
    )
}  # fmt: skip
