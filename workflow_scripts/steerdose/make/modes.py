"""Singular modes of linear layers and of whole blocks: the coordinates of S-space."""

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from steerdose.errors import SteerdoseError

SMALLEST_MODE = 1e-6  # singular values below this share of the largest are rounding noise
WRITERS = ("o_proj", "out_proj", "c_proj", "down_proj", "dense_4h_to_h", "dense", "wo", "w2", "fc2", "fc_out")
READERS = (
    "q_proj", "k_proj", "v_proj", "qkv_proj", "query_key_value", "c_attn", "query", "key", "value", "gate_proj",
    "up_proj", "gate_up_proj", "c_fc", "dense_h_to_4h", "in_proj", "wq", "wk", "wv", "w1", "w3", "fc1", "fc_in",
)  # fmt: skip


def linear_weight(module: nn.Module) -> Tensor:
    """Return the weight of a linear layer as (out, in), double, on the CPU."""
    weight = module.weight.detach().double().cpu()  # type: ignore[operator]
    return weight.T if isinstance(module, Conv1D) else weight


def linear_layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the linear layers inside a module with their paths; '' is the module itself."""
    return ((path, inner) for path, inner in module.named_modules() if isinstance(inner, nn.Linear | Conv1D))


@lru_cache(maxsize=1)  # a fit and its resamplings ask for the same module
def singular_modes(module: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Return left singular vectors (out, r), singular values (r,) and bias (out,) of a linear layer."""
    if not isinstance(module, nn.Linear | Conv1D):
        inside = [path for path, _ in linear_layers(module)]
        raise SteerdoseError(f"this estimator acts on the output of a linear layer: set 'submodule' to one of {inside}")
    U, values, _ = torch.linalg.svd(linear_weight(module), full_matrices=False)
    kept = values > SMALLEST_MODE * values[0]
    bias = torch.zeros(len(U)) if module.bias is None else module.bias.detach().cpu()
    return U[:, kept], values[kept], bias


@lru_cache(maxsize=1)
def block_modes(block: nn.Module, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return eigenvectors (width, r), roots of the eigenvalues (r,) and a zero bias of a block's pooled Gram matrix."""
    gram = torch.zeros(width, width, dtype=torch.float64)
    for path, layer in linear_layers(block):
        W = linear_weight(layer)
        role = residual_role(path, (W.shape[0], W.shape[1]), width)
        if role == "writer":
            gram += W @ W.T
        elif role == "reader":
            gram += W.T @ W
    if not gram.any():
        raise SteerdoseError(
            "'super_sspace' found no linear layer that reads or writes the residual stream: set 'submodule' to null, "
            "or use 'sspace' on one linear layer"
        )
    values, vectors = torch.linalg.eigh(gram)
    kept = values > SMALLEST_MODE**2 * values[-1]
    return vectors[:, kept], values[kept].sqrt(), torch.zeros(width)


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
        f"'super_sspace' cannot tell whether the square layer '{path}' reads from or writes to the residual stream: "
        "add its name to WRITERS or READERS in steerdose/make/modes.py, or use 'sspace' on one linear layer"
    )
