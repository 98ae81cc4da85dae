"""The sizes of a model that time and memory depend on."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from steerdose.model.architecture import text_config


@dataclass(frozen=True)
class Sizes:
    """parameters: how many there are. weights: bytes of them as they are loaded, with packed copies.

    cache: numbers that attention keeps of a token. vocabulary, hidden: numbers of a token's logits, and of its states
    in all blocks.
    """

    parameters: int
    weights: int
    cache: int
    vocabulary: int
    hidden: int


def _bytes(weight: Tensor) -> int:
    """Return what a weight takes, also one of torchao, which says of itself what it stands for."""
    if type(weight) is nn.Parameter or not hasattr(weight, "__tensor_flatten__"):
        return weight.numel() * weight.element_size()
    return sum(_bytes(getattr(weight, name)) for name in weight.__tensor_flatten__()[0])


def sizes_of(model: Any) -> Sizes:
    """Return the sizes of a loaded model."""
    config = text_config(model)
    queries = getattr(config, "num_attention_heads", 0)  # none where no block attends
    heads = getattr(config, "num_key_value_heads", None) or queries
    head = getattr(config, "head_dim", None) or config.hidden_size // max(1, queries)
    return Sizes(
        parameters=sum(each.numel() for each in model.parameters()),
        weights=sum(map(_bytes, model.parameters()))
        + sum(_bytes(each.weight) for each in model.modules() if getattr(each, "packed", None) is not None),
        cache=2 * config.num_hidden_layers * heads * head,
        vocabulary=config.vocab_size,
        hidden=config.num_hidden_layers * config.hidden_size,
    )
