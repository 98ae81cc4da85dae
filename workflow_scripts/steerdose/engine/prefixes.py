"""Texts that begin alike are read alike so far: what rows of a batch share is read once, and their rests behind it.

A chat template opens every prompt with the same system turn, and the forms of an item repeat its situation. So a batch
is read in up to three levels: what all of its texts begin with, what neighbours in the order of their tokens begin with
beyond that, and what is left of each.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from steerdose.steering.intervention import Intervention

# The ids, what is done to the model beyond them, and how many of the last ids count as generated where that matters.
Row = tuple[tuple[int, ...], Intervention, int]

FEWEST = 8  # tokens that a prefix saves each text, or it is not worth a forward of its own


@dataclass(frozen=True)
class Level:
    """Tokens that are read in one go, padded on the left, behind those of the level before.

    tokens: of every row below the first edited block. rows: what is read above it, as in `Row`, with the prefix so far.
    below: (rows,), which row of `tokens` each is there. parents, parents_below: the row of the level before that each
    row continues, above the first edited block and below it; at the first level all 0.
    """

    tokens: list[tuple[int, ...]]
    rows: list[Row]
    below: Tensor
    parents: Tensor
    parents_below: Tensor

    @cached_property
    def width(self) -> int:
        return max(map(len, self.tokens))

    @cached_property
    def ids(self) -> Tensor:
        """(rows below, width), padded with 0."""
        return torch.tensor([[0] * (self.width - len(part)) + list(part) for part in self.tokens])

    @cached_property
    def is_token(self) -> Tensor:
        """(rows below, width), False for padding."""
        return torch.arange(self.width) >= self.width - torch.tensor([len(part) for part in self.tokens])[:, None]


def levels(rows: Sequence[Row], most: Sequence[int], apart: bool) -> list[Level]:
    """Return in which levels rows are read. most: of how many tokens a row's prefixes may be, by row.

    apart: whether rows share nothing below the first edited block either, since there is no block below it.
    """
    texts = [ids for ids, _, _ in rows]
    made: list[Level] = []
    start, above, below = [0] * len(rows), [0] * len(rows), [0] * len(rows)
    for ends in [*_prefixes(texts, most), [len(ids) for ids in texts]]:
        parts: list[Row] = [(ids[:end], what, n) for (ids, what, n), end in zip(rows, ends, strict=True)]
        first, next_above = _distinct(parts)
        keys = parts if apart else [ids for ids, _, _ in parts]
        first_below, next_below = _distinct(keys)
        made.append(
            Level(
                [texts[i][start[i] : ends[i]] for i in first_below],
                [parts[i] for i in first],
                torch.tensor([next_below[i] for i in first]),
                torch.tensor([above[i] for i in first]),
                torch.tensor([below[i] for i in first_below]),
            )
        )
        start, above, below = ends, next_above, next_below
    return made


def _distinct(keys: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    """Return where each distinct key stands first, and of every key which of these it is."""
    place: dict[Hashable, int] = {}
    number = [place.setdefault(key, len(place)) for key in keys]
    first = {n: i for i, n in reversed(list(enumerate(number)))}
    return [first[n] for n in range(len(place))], number


def _prefixes(texts: Sequence[tuple[int, ...]], most: Sequence[int]) -> list[list[int]]:
    """Return up to two lists of how many tokens of each text are read as a prefix, the shorter ones first."""
    limit: dict[tuple[int, ...], int] = {}
    for text, allowed in zip(texts, most, strict=True):
        limit[text] = min(allowed, limit.get(text, allowed))
    ordered = sorted(limit)
    shared = min(_n_alike(ordered[0], ordered[-1]), *limit.values())
    shared = shared if shared >= FEWEST and len(ordered) > 1 else 0
    pairs = [min(_n_alike(a, b), limit[a], limit[b]) for a, b in pairwise(ordered)]
    ends = {}
    for i, text in enumerate(ordered):
        longest = max(pairs[max(0, i - 1) : i + 1], default=0)
        ends[text] = longest if longest >= shared + FEWEST else shared
    found = [[shared] * len(texts), [ends[text] for text in texts]]
    return [each for each, worth in zip(found, (shared > 0, max(ends.values()) > shared), strict=True) if worth]


def _n_alike(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens both begin with."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
