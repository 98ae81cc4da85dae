"""Hypotheses of tokens that attention chooses, and of the token at which it rests."""

from collections.abc import Callable

import torch
from torch import Tensor

from steerdose.subspaces.linear import Basis, of_rows
from steerdose.subspaces.of_activations import Activations
from steerdose.subspaces.registry import NotApplicableError, hypothesis


def _chosen(given: Activations, i: int, k: int, weigh: Callable[[Tensor, Tensor], Tensor]) -> Basis:
    """Return directions of tokens' differences, each heard by the root of its weight."""
    if not given.sites.attention.numel():
        raise NotApplicableError("the model puts out no attention")
    weight = weigh(given.sites.attention[0, i], given.sites.attention[1, i])
    rows = given.sites.differences[i] * weight.clamp_min(0).sqrt()[:, None]
    return of_rows(rows, k, centred=given.weights.switches.center_contrasts, checked=given.checked)


@hypothesis("act:attn-selected", "mixed", "activations")
def attn_min_taskdiff(given: Activations, i: int, k: int) -> Basis:
    """Directions of the differences at tokens that the last one looks at under both personas."""
    return _chosen(given, i, k, torch.minimum)


@hypothesis("act:attn-selected", "mixed", "activations")
def attn_max_taskdiff(given: Activations, i: int, k: int) -> Basis:
    """Directions of the differences at tokens that the last one looks at under either persona."""
    return _chosen(given, i, k, torch.maximum)


@hypothesis("act:attn-selected", "mixed", "activations")
def attn_diff_taskdiff(given: Activations, i: int, k: int) -> Basis:
    """Directions of the differences at tokens that the last one looks at more under one persona."""
    return _chosen(given, i, k, lambda one, other: (one - other).abs())


@hypothesis("act:attn-selected", "mixed", "activations")
def attn_min_x_diffnorm_taskdiff(given: Activations, i: int, k: int) -> Basis:
    """Directions of the differences at tokens that the last one looks at under both, by how large they are."""
    size = given.sites.differences[i].norm(dim=1)
    return _chosen(given, i, k, lambda one, other: torch.minimum(one, other) * size)


@hypothesis("W:OV", "write", "activations")
def attention_sink(given: Activations, i: int, k: int) -> Basis:
    """What every head writes when it looks at the first token."""
    view = given.weights.view
    heads = given.weights.heads(i)
    if given.weights.switches.measured_sink:
        values = given.weights.block(i).readers["v"] @ given.sites.first[i]
    elif view.first_token is None:
        raise NotApplicableError("the tokenizer has no token that texts begin or end with")
    else:
        values = given.weights.block(i).readers["v"] @ view.embedding[view.first_token]
    each = values.reshape(heads.n_kv, heads.width).repeat_interleave(heads.n // heads.n_kv, 0)
    W = given.weights.writer(i, "o").reshape(view.width, heads.n, heads.width)
    rows = torch.einsum("dhw,hw->hd", W, each)
    return of_rows(rows, k, centred=True, checked=given.checked)
