"""Edits in S-space, the coordinates of a linear layer's own singular modes."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import linear

from steerdose.steering.edit import Edit, norm_and_unit


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
