"""A step of decoding whose tensors stay where they are, so that a GPU can record its kernels and play them again.

Launching the kernels of a small model from Python takes longer than they run; a CUDA graph launches all of a token's
at once (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs). For that every token is read against all
places of the cache, those that are not written yet masked out, and is written to a place that a tensor names.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import create_masks_for_generate

from steerdose.engine.cache import RowCache
from steerdose.errors import SteerdoseError
from steerdose.flow.progress import Count


class StaticStep:
    """The next tokens of rows that stay the same. The cache stays fixed (`RowCache.fix`).

    turn: sets what hooks read, the same in every step. mask: (rows, capacity), True where a row is not padded.
    """

    def __init__(
        self, model: Any, cache: RowCache, ids: Tensor, positions: Tensor, mask: Tensor, turn: Callable[[], None]
    ) -> None:
        """Raises SteerdoseError for a model whose masks cannot be made before it runs, or that cannot be recorded."""
        self.model, self.cache, self.mask, self.turn = model, cache, mask, turn
        self.ids, self.positions = ids.clone(), positions.clone()
        self.first = self.length = cache.get_seq_length()
        self.place = torch.tensor([self.length], device=ids.device)
        cache.fix(self.place)
        self.masks = {name: each.clone() for name, each in self._masks().items()}
        turn()
        self.run = recorded(self._forward) if ids.device.type == "cuda" else self._forward

    def __call__(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Read a token of every row, (rows, 1), and return the next logits, (rows, vocabulary), until the next call."""
        self.ids.copy_(ids)
        self.positions.copy_(positions)
        self.place.fill_(self.length)
        for name, each in self._masks().items():
            self.masks[name].copy_(each)
        self.turn()
        self.cache.set_length(self.first)  # all that a recording knows of it
        logits = self.run()
        self.length += 1
        self.cache.set_length(self.length)
        return logits

    def _masks(self) -> dict[str, Tensor]:
        """Return the mask of each kind of layer, (rows, 1, 1, capacity)."""
        made = create_masks_for_generate(
            config=self.model.config,
            inputs_embeds=torch.empty(*self.ids.shape, 1, dtype=self.model.dtype, device=self.ids.device),
            attention_mask=self.mask,
            past_key_values=self.cache,
            position_ids=self.positions,
        )
        masks = made if isinstance(made, dict) else {"": made}
        if any(each is None or each.ndim != 4 for each in masks.values()):
            raise SteerdoseError("its masks are not made before it runs")
        return masks

    def _forward(self) -> Tensor:
        return self.model(
            input_ids=self.ids,
            attention_mask=self.masks.get("", self.masks),
            position_ids=self.positions,
            past_key_values=self.cache,
            use_cache=True,
        ).logits[:, -1]


def recorded(step: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Return what plays the kernels of a step again, on whatever its tensors then hold.

    Raises SteerdoseError where a step waits for the GPU, as mixtures do that choose experts in Python.
    """
    counted = Count.tokens
    graph, beside = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    try:
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            step()  # what libraries set up at a first call is not to be recorded
        torch.cuda.current_stream().wait_stream(beside)
        with torch.cuda.graph(graph):
            logits = step()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise SteerdoseError(f"a GPU cannot record it ({error})") from error
    n_tokens, Count.tokens = (Count.tokens - counted) // 2, counted

    def play() -> Tensor:
        graph.replay()
        Count.tokens += n_tokens
        return logits

    return play
