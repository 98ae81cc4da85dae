"""Where in a model activations are captured for hypotheses."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Sites:
    """What was captured, fp32 on the CPU; of a model without an MLP of readers and writers the last fields are empty.

    clean, positive, negative: the residual stream before the first and behind every block, (L + 1, n, width).
    differences: of tokens that both personas' texts have, (L, tokens, width); attention: how much the last token looks
    at them under both personas, heads averaged, (2, L, tokens). first: what attention reads at the first token, its
    norm behind it, (L, width). up_in: of clean, positive and negative, (3, L, n, width); up_out: of positive and
    negative, (2, L, n, inner); mlp_out: clean, (L, n, width).
    """

    clean: Tensor
    positive: Tensor
    negative: Tensor
    differences: Tensor
    attention: Tensor
    first: Tensor
    up_in: Tensor
    up_out: Tensor
    mlp_out: Tensor
