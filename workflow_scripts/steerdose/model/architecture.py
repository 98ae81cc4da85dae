"""How a model is built, whatever its architecture calls things: its blocks, their attention, their depth."""

from typing import Any, cast

from torch import nn

from steerdose.errors import SteerdoseError

CACHEABLE_LAYERS = {"full_attention", "sliding_attention"}


def text_config(model: Any) -> Any:
    """Return the config of the language part (composite models nest it)."""
    return model.config.get_text_config()


def layer_types(model: Any) -> list[str]:
    """Return the attention type of each layer, as the config says; one entry a layer."""
    config = text_config(model)
    listed = getattr(config, "layer_types", None)
    if listed:
        return list(listed)
    kind = "sliding_attention" if getattr(config, "sliding_window", None) else "full_attention"
    return [kind] * config.num_hidden_layers


def is_cacheable(model: Any) -> bool:
    """Whether rows of different lengths can share one key-value cache.

    Not with recurrent state, unknown attention types, or ALiBi, whose distances count slots and not positions.
    """
    config = text_config(model)
    alibi = config.model_type in ("bloom", "mpt") or getattr(config, "alibi", False)
    return not alibi and not getattr(model, "_is_stateful", False) and set(layer_types(model)) <= CACHEABLE_LAYERS


def find_blocks(model: nn.Module) -> list[str]:
    """Return the module paths of the residual blocks, first to last, whatever the architecture calls them."""
    n_layers = text_config(model).num_hidden_layers
    found = [
        path for path, module in model.named_modules() if isinstance(module, nn.ModuleList) and len(module) == n_layers
    ]
    outer = [path for path in found if not any(path.startswith(other + ".") for other in found)]
    if len(outer) > 1:  # a model that also sees or hears may have as many blocks for that
        language = cast(Any, model).get_decoder() if hasattr(model, "get_decoder") else model
        prefix = next(path for path, module in model.named_modules() if module is language)
        outer = [path for path in outer if path.startswith(f"{prefix}.")]
    if len(outer) != 1:
        raise SteerdoseError(
            f"expected one list of {n_layers} blocks in {type(model).__name__}, found {outer or 'none'}; "
            "name the modules to steer in the method's 'modules'"
        )
    return [f"{outer[0]}.{index}" for index in range(n_layers)]


def block_at(depth: float, n_blocks: int) -> int:
    """Return the block at a fraction of the depth: round(depth n), as in `layer_range`, or the last one."""
    return min(round(depth * n_blocks), n_blocks - 1)


def layer_range(n_layers: int, fractions: tuple[float, float]) -> list[int]:
    """Return the layers from round(first n) to round(last n), the last excluded."""
    return list(range(round(fractions[0] * n_layers), round(fractions[1] * n_layers)))
