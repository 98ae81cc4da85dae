"""The cosine of two steerings, as vectors of all modules together."""

import torch
from torch import Tensor

from .edits import Add, Dense, Edit, LowRank, matrix
from .steering import Steering


def steering_cosine(first: str, second: str) -> float | None:
    """Return the cosine of the steerings in two files; null unless all their edits are deltas or added directions.

    Deltas are compared by their Frobenius inner product and added directions by their dot product, over all modules.
    """
    edits = [dict(Steering.load(path).edits) for path in (first, second)]
    if not all(isinstance(edit, LowRank | Dense | Add) for side in edits for edit in side.values()):
        return None
    norms = [torch.stack([_vector(edit).square().sum() for edit in side.values()]).sum().sqrt() for side in edits]
    shared = [(_vector(edits[0][path]) * _vector(edits[1][path])).sum() for path in edits[0].keys() & edits[1].keys()]
    return float(sum(shared) / (norms[0] * norms[1]))


def _vector(edit: Edit) -> Tensor:
    return edit.v.double() if isinstance(edit, Add) else matrix(edit)
