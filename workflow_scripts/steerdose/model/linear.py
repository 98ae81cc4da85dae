"""Linear layers: their weights, and whether they read from the residual stream or write to it."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from steerdose.errors import SteerdoseError
from steerdose.model.experts import opened_experts

WRITERS = ("o_proj", "out_proj", "c_proj", "down_proj", "dense_4h_to_h", "dense", "wo", "w2", "fc2", "fc_out")
READERS = (
    "q_proj", "k_proj", "v_proj", "qkv_proj", "query_key_value", "c_attn", "query", "key", "value", "gate_proj",
    "up_proj", "gate_up_proj", "c_fc", "dense_h_to_4h", "in_proj", "wq", "wk", "wv", "w1", "w3", "fc1", "fc_in",
)  # fmt: skip


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


def residual_role(path: str, shape: tuple[int, int], width: int) -> str:
    """Return what a linear layer (out, in) does to a residual stream of this width: writer, reader or inner.

    The shape says so, except for square layers: these go by their name. Raises SteerdoseError for an unknown name.
    """
    out, into = shape
    if out != into:
        return "writer" if out == width else "reader" if into == width else "inner"
    if out != width:
        return "inner"
    name = path.rsplit(".", 1)[-1]
    if name in WRITERS or name in READERS:
        return "writer" if name in WRITERS else "reader"
    raise SteerdoseError(
        f"it cannot be told whether the square layer '{path}' reads from or writes to the residual stream: "
        "add its name to WRITERS or READERS in steerdose/model/linear.py, or use 'sspace' on one linear layer"
    )
