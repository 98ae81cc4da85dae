"""The verb replay: fixed texts are read under one weight delta after another, as cheaply as can be.

Texts are packed into rows: what several of them begin with stands there once, and a token sees its own text alone (tree
attention, as in speculative decoding: Miao et al. 2024, arXiv:2305.09781). What the unsteered model puts out below
the first block that a delta edits is kept, and not computed again. A delta is merged into the weights, so that it costs
nothing in the forward.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from steerdose.engine.divergence import divergence_from
from steerdose.engine.rows import count_shared
from steerdose.engine.score import Item, Score
from steerdose.errors import SteerdoseError
from steerdose.model.architecture import find_blocks, is_cacheable, layer_types
from steerdose.model.loading import LoadedModel
from steerdose.steering.merge import merged
from steerdose.steering.steering import Steering

WIDTH = 512  # tokens of a row, at most, unless one text is longer: attention grows with its square


@dataclass(frozen=True)
class Pack:
    """Texts in one row. ids, depth: (tokens,); sees: (tokens, tokens); places: where each item's tokens stand."""

    ids: Tensor
    depth: Tensor
    sees: Tensor
    items: tuple[int, ...]
    places: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Reading:
    """What a delta does to the items.

    scores: None where a logit is not finite. kl: to the unsteered model at every token asked for, nats, a list an item.
    """

    scores: list[Score | None]
    kl: list[list[float]]

    @property
    def mean_kl(self) -> float:
        """Over all tokens of all items; infinity where a logit is not finite."""
        if any(score is None for score in self.scores):
            return float("inf")
        values = [value for own in self.kl for value in own]
        return sum(values) / len(values)


def packs(texts: Sequence[tuple[int, ...]], shareable: bool) -> list[Pack]:
    """Return rows that hold all texts; neighbours in the order of their tokens share a row. Else each has its own."""
    order = sorted(range(len(texts)), key=lambda i: texts[i]) if shareable else range(len(texts))
    made: list[_Tree] = []
    for i in order:
        if not made or not shareable or not made[-1].has_room(texts[i]):
            made.append(_Tree())
        made[-1].add(i, texts[i])
    return [tree.packed() for tree in made]


class _Tree:
    """Texts by their common beginnings, a node a token."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.parents: list[int] = []
        self.children: dict[tuple[int, int], int] = {}
        self.places: dict[int, tuple[int, ...]] = {}

    def has_room(self, text: Sequence[int]) -> bool:
        node, n_new = -1, 0
        for token in text:
            node = self.children.get((node, token), -2) if node != -2 else -2
            n_new += node == -2
        return len(self.ids) + n_new <= WIDTH

    def add(self, item: int, text: Sequence[int]) -> None:
        node, path = -1, []
        for token in text:
            if (node, token) not in self.children:
                self.children[node, token] = len(self.ids)
                self.ids.append(token)
                self.parents.append(node)
            node = self.children[node, token]
            path.append(node)
        self.places[item] = tuple(path)

    def packed(self) -> Pack:
        n = len(self.ids)
        sees, depth = torch.eye(n, dtype=torch.bool), torch.zeros(n, dtype=torch.long)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                sees[node] |= sees[parent]
                depth[node] = depth[parent] + 1
        return Pack(torch.tensor(self.ids), depth, sees, tuple(self.places), tuple(self.places.values()))


class Replay:
    """Items that are read again and again. Raises SteerdoseError for unsteered logits that are not finite."""

    def __init__(self, loaded: LoadedModel, items: Sequence[Item]) -> None:
        self.model, self.items = loaded.model, items
        self.device = self.model.device
        self.shareable = is_cacheable(self.model) and set(layer_types(self.model)) == {"full_attention"}
        self.packs = packs([item.ids[None] for item in items], self.shareable)
        modules = dict(self.model.named_modules())
        self.blocks = [modules[path] for path in find_blocks(self.model)]
        self.passed: list[list[Any]] = []  # what every block puts out, by pack
        found: list[Tensor] = []
        with torch.inference_mode():
            for pack in self.packs:
                outputs: list[Any] = []
                with self._listening(outputs):
                    found.append(self._forward(pack))
                self.passed.append(outputs)
            if not all(torch.isfinite(logits).all() for logits in found):
                raise SteerdoseError(
                    "the logits of the unsteered model are not finite: set the model's dtype to float32"
                )
            self.log_q = [logits - logits.logsumexp(-1, keepdim=True) for logits in found]
            self.unsteered = self._reading(found)

    def read(self, steering: Steering, coefficient: float) -> Reading:
        """Return what a steering does at a coefficient."""
        n_below = count_shared(self.model, [steering])
        with torch.inference_mode(), merged(self.model, steering, coefficient):
            found = []
            for pack, outputs in zip(self.packs, self.passed, strict=True):
                with self._replaying(outputs[:n_below]):
                    found.append(self._forward(pack))
        return self._reading(found)

    def _forward(self, pack: Pack) -> Tensor:
        """Return the logits at the places that are asked for, (places, vocabulary)."""
        placing: dict[str, Any] = {}
        if self.shareable:
            shut = torch.finfo(self.model.dtype).min
            mask = torch.zeros(pack.sees.shape, dtype=self.model.dtype).masked_fill(~pack.sees, shut)
            placing = {"attention_mask": mask[None, None], "position_ids": pack.depth[None]}
        asked = torch.tensor(sorted({place for wanted in self._asked(pack) for place in wanted}))
        given = {name: value.to(self.device) for name, value in placing.items()}
        return (
            self.model(
                input_ids=pack.ids[None].to(self.device), use_cache=False, logits_to_keep=asked.to(self.device), **given
            )
            .logits[0]
            .float()
        )

    def _asked(self, pack: Pack) -> list[tuple[int, ...]]:
        """Return at which tokens of a row each of its items asks what comes next."""
        return [
            (*places[len(places) - 1 - item.n_scored : -1], *(places[-1:] if item.answers else ()))
            for places, item in zip(pack.places, (self.items[i] for i in pack.items), strict=True)
        ]

    def _reading(self, logits: Sequence[Tensor]) -> Reading:
        scores: list[Score | None] = [None] * len(self.items)
        kl: list[list[float]] = [[] for _ in self.items]
        for pack, found, log_q in zip(self.packs, logits, self.log_q, strict=True):
            wanted = self._asked(pack)
            row = {place: i for i, place in enumerate(sorted({place for own in wanted for place in own}))}
            (diverged, total), best = divergence_from(found, log_q), found.argmax(-1)
            for i, places, own in zip(pack.items, pack.places, wanted, strict=True):
                rows = [row[place] for place in own]
                kl[i] = diverged[rows].tolist()
                scores[i] = _score(self.items[i], pack.ids[list(places)], found[rows], total[rows], best[rows])
        return Reading(scores, kl)

    @contextmanager
    def _listening(self, outputs: list[Any]) -> Iterator[None]:
        with ExitStack() as stack:
            for block in self.blocks:
                handle = block.register_forward_hook(lambda _, __, output: outputs.append(output))
                stack.callback(handle.remove)
            yield

    @contextmanager
    def _replaying(self, outputs: Sequence[Any]) -> Iterator[None]:
        """Let the first blocks put out what they did before, without any arithmetic."""
        with ExitStack() as stack:
            for block, output in zip(self.blocks, outputs, strict=False):
                block.forward = lambda *_, output=output, **__: output
                stack.callback(delattr, block, "forward")
            yield


def _score(item: Item, ids: Tensor, logits: Tensor, total: Tensor, best: Tensor) -> Score | None:
    """Return an item's score. logits, total, best: at what it asks for; ids: its tokens."""
    if not torch.isfinite(total).all():
        return None
    following = ids[len(ids) - item.n_scored :].to(logits.device)
    own = logits[: item.n_scored].gather(-1, following[:, None])[:, 0] - total[: item.n_scored]
    hit = best[: item.n_scored] == following
    answers = [float(logits[-1, list(tokens)].logsumexp(0) - total[-1]) for tokens in item.answers]
    answered = bool(item.answers) and any(int(best[-1]) in tokens for tokens in item.answers)
    return Score(tuple(answers), tuple(own.tolist()), answered, tuple(hit.tolist()))
