"""A tiny model's view and captured activations with a planted contrast, for tests of subspaces."""

import tiny
import torch
from steerdose.model.residual import residual_view
from steerdose.study.subspaces import Switches
from steerdose.subspaces.of_activations import Activations
from steerdose.subspaces.of_weights import Weights
from steerdose.subspaces.sites import Sites

N, TOKENS = 12, 40


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def view(kind="llama", seed=0):
    return residual_view(tiny.model(kind, seed), tiny.tokenizer())


def sites(residual, direction=None, size=3.0, seed=0):
    """Random activations; positive persona prompts lie `size` along `direction` from the negative ones."""
    n_blocks, width = len(residual.blocks), residual.width
    clean = normal(n_blocks + 1, N, width, seed=seed).cumsum(0)
    negative = clean + 0.1 * normal(n_blocks + 1, N, width, seed=seed + 1)
    push = torch.zeros(width) if direction is None else size * direction
    positive = clean + 0.1 * normal(n_blocks + 1, N, width, seed=seed + 2) + push
    attention = normal(2, n_blocks, TOKENS, seed=seed + 3).softmax(-1)
    inner = residual.blocks[0].readers["up"].shape[0]
    return Sites(
        clean=clean,
        positive=positive,
        negative=negative,
        differences=0.1 * normal(n_blocks, TOKENS, width, seed=seed + 4) + push,
        attention=attention,
        first=normal(n_blocks, width, seed=seed + 5),
        up_in=normal(3, n_blocks, N, width, seed=seed + 6),
        up_out=normal(2, n_blocks, N, inner, seed=seed + 7),
        mlp_out=normal(n_blocks, N, width, seed=seed + 8),
    )


def given(kind="llama", switches=None, **planted):
    residual = view(kind)
    return Activations(sites(residual, **planted), Weights(residual, switches or Switches()))
