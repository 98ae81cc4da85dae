"""The obvious delta of an adapter: what its layers do to the identity matrix, minus the weight from before it came.

No file, no merge, no PEFT arithmetic but the forward pass that was trained.
"""

import copy

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn


@torch.no_grad()
def effective_deltas(untouched: nn.Module, trained: nn.Module) -> dict[str, Tensor]:
    """Return W_trained - W_untouched by module path, (out, in) in float64. Only layers without a bias."""
    weights = {name.removesuffix(".weight"): p.double() for name, p in untouched.named_parameters()}
    deltas = {}
    for path, module in copy.deepcopy(trained.base_model.model).eval().double().named_modules():
        if isinstance(module, BaseTunerLayer):
            identity = torch.eye(weights[path].shape[1], dtype=torch.float64)
            deltas[path] = module(identity).T - weights[path]
    return deltas
