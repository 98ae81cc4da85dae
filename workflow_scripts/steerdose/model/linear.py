"""Linear layers: their weights, and whether they read from the residual stream or write to it."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from steerdose.errors import SteerdoseError
from steerdose.model.experts import opened_experts

QKV, PAIR = ("q", "k", "v"), ("gate", "up")
ROLES = {  # what a linear layer is in its block, by its own name; more than one where they are fused or share a name
    "q_proj": ("q",), "k_proj": ("k",), "v_proj": ("v",), "qkv_proj": QKV, "c_attn": QKV, "query_key_value": QKV,
    "query": ("q",), "key": ("k",), "value": ("v",), "wq": ("q",), "wk": ("k",), "wv": ("v",),
    "gate_proj": ("gate",), "up_proj": ("up",), "gate_up_proj": PAIR, "c_fc": ("up",), "fc1": ("up",), "fc_in": ("up",),
    "dense_h_to_4h": ("up",), "w1": ("gate",), "w3": ("up",), "o_proj": ("o",), "out_proj": ("o",), "dense": ("o",),
    "wo": ("o",), "down_proj": ("down",), "dense_4h_to_h": ("down",), "fc2": ("down",), "fc_out": ("down",),
    "w2": ("down",), "c_proj": ("o", "down"), "in_proj": (),
}  # fmt: skip
WRITERS = ("o", "down")  # roles that add to the residual stream; the others read it


def is_plain(weight: Tensor) -> bool:
    """Whether a weight is an fp32 matrix, and nothing that stands for one."""
    return type(weight) is nn.Parameter and weight.dtype is torch.float32


def linear_weight(module: nn.Module) -> Tensor:
    """Return the weight of a linear layer as (out, in), double, on the CPU."""
    weight = module.weight.detach().double().cpu()  # type: ignore[operator]
    return weight.T if isinstance(module, Conv1D) else weight


def linear_layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the linear layers inside a module with their paths; '' is the module itself."""
    return ((path, inner) for path, inner in module.named_modules() if isinstance(inner, nn.Linear | Conv1D))


def linear_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of all linear layers, of single experts too, (out, in) by module path, on the CPU."""
    with opened_experts(model):
        layers = dict(linear_layers(model))
        found = {path: layer.weight.detach().cpu() for path, layer in layers.items()}  # type: ignore[operator]
    return {path: W.T if isinstance(layers[path], Conv1D) else W for path, W in found.items()}


def adds_to_residual(path: str) -> bool:
    """Whether a linear layer adds to the residual stream, by its name."""
    return any(role in WRITERS for role in ROLES.get(path.rsplit(".", 1)[-1], ()))


def residual_role(path: str, shape: tuple[int, int], width: int) -> str:
    """Return what a linear layer (out, in) does to a residual stream of this width: writer, reader or inner.

    The shape says so, except for square layers: these go by their name. Raises SteerdoseError for an unknown name.
    """
    out, into = shape
    if out != into:
        return "writer" if out == width else "reader" if into == width else "inner"
    if out != width:
        return "inner"
    if path.rsplit(".", 1)[-1] in ROLES:
        return "writer" if adds_to_residual(path) else "reader"
    raise SteerdoseError(
        f"it cannot be told whether the square layer '{path}' reads from or writes to the residual stream: "
        "add its name to ROLES in steerdose/model/linear.py, or use 'sspace' on one linear layer"
    )
