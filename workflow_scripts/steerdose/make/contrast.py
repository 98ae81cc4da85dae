"""What estimators are given: activations of one module under opposite personas."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Contrast:
    """Activations of one module under opposite personas. positive, negative: (prompts, width), row i of one prompt.

    module: whose output they are, for estimators that read its weights.
    """

    positive: Tensor
    negative: Tensor
    module: nn.Module | None = None

    @property
    def differences(self) -> Tensor:
        """Positive minus negative, (prompts, width), in double precision."""
        return self.positive.double() - self.negative.double()

    @property
    def mean_difference(self) -> Tensor:
        return self.differences.mean(0)

    def rows(self, chosen: Tensor) -> "Contrast":
        """Return the contrast of some prompts; chosen: indices or a mask."""
        return replace(self, positive=self.positive[chosen], negative=self.negative[chosen])

    def swapped(self, mask: Tensor) -> "Contrast":
        """Return the contrast with the two labels exchanged for the prompts where mask (prompts,) is true."""
        positive = torch.where(mask[:, None], self.negative, self.positive)
        return replace(self, positive=positive, negative=torch.where(mask[:, None], self.positive, self.negative))
