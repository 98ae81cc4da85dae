"""Singular modes of linear layers and of whole blocks: the coordinates of S-space."""

from functools import lru_cache

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from steerdose.errors import SteerdoseError
from steerdose.model.linear import linear_layers, linear_weight, residual_role

SMALLEST_MODE = 1e-6  # singular values below this share of the largest are rounding noise


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


@lru_cache(maxsize=1)
def written(block: nn.Module, width: int) -> Tensor:
    """Return the left singular vectors (width, r) of all layers of a block that write to the residual stream."""
    return _leading([W for _, W in _in_role(block, width, "writer")])


def read(block: nn.Module, width: int) -> Tensor:
    """Return the right singular vectors (width, r) of all layers of a block that read the residual stream."""
    return _leading([W.T for _, W in _in_role(block, width, "reader")])


def _in_role(block: nn.Module, width: int, role: str) -> list[tuple[str, Tensor]]:
    layers = [(path, linear_weight(layer)) for path, layer in linear_layers(block)]
    found = [(path, W) for path, W in layers if residual_role(path, (W.shape[0], W.shape[1]), width) == role]
    if not found:
        raise SteerdoseError(f"no linear layer is a {role} of the residual stream: set 'submodule' to null")
    return found


def _leading(weights: list[Tensor]) -> Tensor:
    U, values, _ = torch.linalg.svd(torch.cat(weights, 1), full_matrices=False)
    return U[:, values > SMALLEST_MODE * values[0]]
