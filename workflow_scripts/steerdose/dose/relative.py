"""The relative dose: how long the change of the residual stream is, measured by the stream itself.

Coefficients of different steerings and models do not compare; this number does, and others report it.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from steerdose.errors import SteerdoseError
from steerdose.model import chat
from steerdose.model.architecture import find_blocks
from steerdose.model.loading import LoadedModel
from steerdose.steering.steering import Steering, steer
from steerdose.study.texts import Prompt


@contextmanager
def _watched(model: nn.Module, blocks: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Keep what each block puts out, as it leaves the block with its edits."""
    kept: dict[str, Tensor] = {}
    modules = dict(model.named_modules())

    def watch(path: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            kept[path] = (output[0] if isinstance(output, tuple) else output).float()

        return hook

    with ExitStack() as stack:
        for path in blocks:
            stack.callback(modules[path].register_forward_hook(watch(path)).remove)
        yield kept


def relative_dose(
    loaded: LoadedModel, prompts: Sequence[Prompt], steering: Steering, coefficient: float
) -> list[float | None] | None:
    """Return the relative dose behind each block, (blocks,): |h_steered - h| / |h|, the median over prompt tokens.

    h is the residual stream behind a block, of the same prompts read with and without the steering; 0 below the first
    edit. The last entry that an edit reaches directly is where others state it for a vector of one layer. None where
    the model has no list of blocks, and of a block whose stream is not finite.
    """
    try:
        blocks = find_blocks(loaded.model)
    except SteerdoseError:
        return None
    device, ratios = loaded.device, []
    doses = torch.tensor([0.0, coefficient])
    with torch.inference_mode(), steer(loaded.model, steering, doses), _watched(loaded.model, blocks) as kept:
        for prompt in prompts:
            ids = torch.tensor([chat.prompt_ids(loaded.tokenizer, chat.conversation(prompt.prompt))] * 2, device=device)
            loaded.model(ids, logits_to_keep=1)
            ratios.append(torch.stack([_ratio(*kept[path]) for path in blocks]))
    medians = torch.cat(ratios, 1).median(1).values.tolist()
    return [median if math.isfinite(median) else None for median in medians]


def _ratio(plain: Tensor, steered: Tensor) -> Tensor:
    """Return the norm of the change over the norm of the stream, (tokens,)."""
    return (steered - plain).norm(dim=-1) / plain.norm(dim=-1)


def last_edited(model: nn.Module, steering: Steering) -> int:
    """Return the last block that an edit stands in, or the last block where edits stand outside of all."""
    blocks = find_blocks(model)
    inside = [i for i, block in enumerate(blocks) for path, _ in steering.edits if f"{path}.".startswith(f"{block}.")]
    return max(inside, default=len(blocks) - 1)
