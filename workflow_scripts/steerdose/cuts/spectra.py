"""Parts of a weight delta's own spectrum: of every matrix the same share of its singular values.

They are counted in units of the numerical rank, never of the width: a matrix of rank 16 has 16 to choose among, however
wide it is. Shares of the width kept all of every delta, and dropped rounding noise. A function returns which of the
singular values s (r,) a part keeps, (r,).
"""

import torch
from torch import Tensor


def rank(s: Tensor, name: str) -> Tensor:
    """The behavior needs but the so many largest directions of every matrix."""
    return torch.arange(len(s)) < int(name)


def quartile(s: Tensor, name: str) -> Tensor:
    """The behavior is in the head of the spectrum (1), or in its tail (4)."""
    return 4 * torch.arange(len(s)) // len(s) == int(name) - 1


def energy(s: Tensor, name: str) -> Tensor:
    """The behavior is in the fewest directions with so many percent of every matrix's squared norm."""
    share = s.square().cumsum(0) / s.square().sum()
    return torch.cat([torch.zeros(1), share[:-1]]) < int(name) / 100 - 1e-12
