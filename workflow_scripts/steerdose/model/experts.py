"""Mixtures of experts, opened: each expert's matrices as linear layers of their own.

transformers stores the experts of a block fused, in tensors of three dimensions, which no adapter, weight delta or hook
of a linear layer meets. An opened mixture has the layers `{path}.{expert}.gate_up_proj` (`up_proj` where there is no
gate) and `.down_proj`, whose weights are views of the fused ones: nothing is copied.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

FUSED = ("num_experts", "has_gate", "has_bias", "is_transposed", "down_proj")  # what transformers gives such a module


class RoutedLinear(nn.Linear):
    """A linear layer of one expert, which reads some tokens of the batch alone.

    routed: (tokens read,), which they are of all `n_tokens` that the mixture was given, rows in order.
    """

    routed: Tensor
    n_tokens: int

    def per_token(self, coefficient: Tensor) -> Tensor:
        """Return the coefficient of each token read, (tokens read, 1), from (rows,), (rows, tokens) or a scalar."""
        each = coefficient.reshape(-1)
        return each.repeat_interleave(self.n_tokens // len(each))[self.routed.to(each.device), None]


class OpenExperts(nn.ModuleList):
    """The experts of one block. It computes what `fused`, a module of transformers, computes, up to rounding."""

    def __init__(self, fused: Any) -> None:
        super().__init__(_expert(fused, index) for index in range(fused.num_experts))
        self._fused = (fused,)  # in a tuple it is no submodule: its tensors stand in the layers
        self.into = "gate_up_proj" if fused.has_gate else "up_proj"

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        """Arguments as `fused` takes them: states (tokens, width), chosen experts and their weights (tokens, k)."""
        states, chosen, weights = (*args, *kwargs.values())[:3]
        (fused,) = self._fused
        out = torch.zeros_like(states)
        for index in chosen.unique().tolist():
            if index == fused.num_experts:  # a token that is routed nowhere
                continue
            tokens, place = torch.where(chosen == index)
            expert = self[index]
            for layer in expert.values():
                layer = getattr(layer, "base_layer", layer)  # an adapter wraps it
                layer.routed, layer.n_tokens = tokens, len(states)
            inner = expert[self.into](states[tokens])
            inner = fused._apply_gate(inner) if fused.has_gate else fused.act_fn(inner)
            own = expert["down_proj"](inner)
            own = fused.post_expert_norm(own) if getattr(fused, "has_post_expert_norm", False) else own
            out.index_add_(0, tokens, (own * weights[tokens, place, None]).to(out.dtype))
        return out


def _expert(fused: Any, index: int) -> nn.ModuleDict:
    names = ("gate_up_proj" if fused.has_gate else "up_proj", "down_proj")
    return nn.ModuleDict({name: _layer(fused, name, index) for name in names})


def _layer(fused: Any, name: str, index: int) -> RoutedLinear:
    weight = getattr(fused, name).detach()[index]
    weight = weight.T if fused.is_transposed else weight
    layer = nn.utils.skip_init(RoutedLinear, weight.shape[1], weight.shape[0], bias=fused.has_bias, device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if fused.has_bias:
        layer.bias = nn.Parameter(getattr(fused, f"{name}_bias").detach()[index], requires_grad=False)
    return layer


def fused_experts(model: nn.Module, paths: Iterable[str] | None = None) -> dict[str, nn.Module]:
    """Return the mixtures of a model that are not open, or those of them that one of `paths` lies in."""
    inside = None if paths is None else tuple(paths)
    return {
        path: module
        for path, module in model.named_modules()
        if all(hasattr(module, name) for name in FUSED)
        and (inside is None or any(each.startswith(f"{path}.") for each in inside))
    }


def open_experts(model: nn.Module, paths: Iterable[str] | None = None) -> dict[str, nn.Module]:
    """Open mixtures, chosen as in `fused_experts`; return what stood at each path."""
    fused = fused_experts(model, paths)
    for path, module in fused.items():
        model.set_submodule(path, OpenExperts(module))
    return fused


@contextmanager
def opened_experts(model: nn.Module, paths: Iterable[str] | None = None) -> Iterator[None]:
    """Have mixtures open, chosen as in `fused_experts`, while the context is."""
    with ExitStack() as stack:
        for path, module in open_experts(model, paths).items():
            stack.callback(model.set_submodule, path, module)
        yield
