"""An edit: what a steering does to the output y of one module (input x), given a coefficient c.

`apply(x, y, 0) == y` bit for bit, for every edit and every row. An edit defines only the change that it adds to y; the
arithmetic is fp32 whatever the dtype of y.
"""

from dataclasses import dataclass, fields
from typing import ClassVar, Self

import torch
from torch import Tensor

TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Edit:
    """One change of a module's output. Fields are fp32 tensors; the last axis of `y` has `width` entries.

    opposite: whether the change at -c is the change at c reversed, and means the opposite.
    summable: whether two edits of this kind may be added up to one.
    is_weight_delta: whether it is linear in the module's input, so that it may stand in the weight.
    directions: the fields whose last axis is a direction, which a random control replaces.
    """

    opposite: ClassVar[bool] = True
    summable: ClassVar[bool] = True
    is_weight_delta: ClassVar[bool] = False
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

    def to(self, device: torch.device) -> Self:
        return type(self)(**{name: tensor.to(device) for name, tensor in self.tensors().items()})

    def zero_fields(self) -> list[str]:
        """Return the fields that are all zeros and thereby leave the edit without any effect."""
        return [name for name, tensor in self.tensors().items() if not tensor.any()]


def norm_and_unit(y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the norms (..., 1) and unit vectors of the last axis; a zero vector stays one. No square can overflow."""
    peak = y.abs().amax(-1, keepdim=True).clamp_min(TINY)
    length = (y / peak).norm(dim=-1, keepdim=True)
    return peak * length, y / peak / length.clamp_min(TINY)
