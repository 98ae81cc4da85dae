"""A weight delta as part of the weights for a while: a model with a delta costs no more than without."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from steerdose.model.linear import is_plain
from steerdose.steering.edit import Edit
from steerdose.steering.edits import LowRank
from steerdose.steering.steering import Steering, steer


@contextmanager
def merged(model: Any, steering: Steering, coefficient: float) -> Iterator[None]:
    """Steer all rows at one coefficient while the context is open, through the weights where that is exact enough.

    The sum is a new parameter that stands in for the weight; the base weight is never written. In half precision, where
    a small delta would be rounded away, and for edits that are no weight deltas, it is `steer`.
    """
    modules = dict(model.named_modules())
    paths = [path for path, _ in steering.edits]
    if len(set(paths)) < len(paths) or not all(_fits(modules.get(path), edit) for path, edit in steering.edits):
        with steer(model, steering, coefficient):
            yield
        return
    with ExitStack() as stack:
        for path, edit in steering.edits:
            module = modules[path]
            weight = module.weight
            stack.callback(setattr, module, "weight", weight)
            module.weight = nn.Parameter(_sum(module, edit, coefficient), requires_grad=False)
        yield


def _fits(module: nn.Module | None, edit: Edit) -> bool:
    known = isinstance(module, nn.Linear | Conv1D) and is_plain(module.weight)
    return known and bool(edit.is_weight_delta)


def _sum(module: Any, edit: Edit, coefficient: float) -> Tensor:
    weight = module.weight.detach()
    if isinstance(edit, LowRank):
        B, A = edit.B.to(weight), edit.A.to(weight)
        factors = (A.T, B.T) if isinstance(module, Conv1D) else (B, A)
        return torch.addmm(weight, *factors, alpha=coefficient)
    delta = edit.tensors()["dW"].to(weight)
    return torch.add(weight, delta.T if isinstance(module, Conv1D) else delta, alpha=coefficient)
