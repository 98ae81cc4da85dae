"""Degeneration of a text, from its token ids alone: repetition, loops, diversity, compressibility."""

import zlib
from collections.abc import Sequence

import numpy as np

MAX_PERIOD = 64  # tokens; a loop of whole sentences is longer than of words, and rep_4 sees what repeats beyond it
MEASURES = {"rep_4": 1, "loop": 1, "distinct_1": -1, "distinct_2": -1, "distinct_3": -1, "compression": 1}
"""Every measure, and whether more (1) or less (-1) of it is worse."""


def text_measures(texts: Sequence[np.ndarray], prefixes: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Return each of `MEASURES` for prefixes of texts, (all prefixes of the first text, of the second, ...).

    texts: token ids, (tokens,) each. prefixes: the lengths t to measure of each text, 0 <= t <= tokens.

    distinct_n: distinct n-grams over all n-grams (Li et al. 2016, arXiv:1510.03055, who divide by tokens; this way a
    text without a repeat has 1 at every length). rep_4: 1 - distinct_4 (Welleck et al. 2020, arXiv:1908.04319).
    loop: tokens of the longest stretch that is one phrase of at most `MAX_PERIOD` tokens, at least twice in a row.
    compression: bytes over zlib's bytes, of the ids as 32-bit integers (the ratio of Shaib et al. 2024,
    arXiv:2403.00553, there of characters); it grows with length, so compare it at equal t.

    NaN where a prefix is too short to hold an n-gram, or a byte. Time is linear in tokens (for loops times the period).
    """
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    starts = np.cumsum(lengths) - lengths
    ids = np.concatenate([np.empty(0, dtype=np.int64), *texts]).astype(np.int64)
    rows = np.repeat(np.arange(len(texts)), lengths)
    place = np.arange(len(ids)) - starts[rows]
    counts = [len(each) for each in prefixes]
    t = np.concatenate([np.empty(0, dtype=np.int64), *prefixes]).astype(np.int64)
    first = np.repeat(starts, counts)
    distinct = _distinct(ids, rows, place, first, t, 4)
    return {
        "rep_4": 1 - distinct[3],
        "loop": _loop(ids, place, prefixes, starts),
        **{f"distinct_{n}": distinct[n - 1] for n in (1, 2, 3)},
        "compression": _compression(texts, prefixes),
    }


def _distinct(
    ids: np.ndarray, rows: np.ndarray, place: np.ndarray, first: np.ndarray, t: np.ndarray, most: int
) -> list[np.ndarray]:
    """Return distinct_n for n from 1 to `most`. ids, rows, place: (tokens,); first, t: (prefixes,).

    An n-gram that ends at a token is known by its rank: that of the (n-1)-gram before it, and the token.
    """
    found = []
    rank, vocabulary = rows, ids.max(initial=0) + 1
    for n in range(1, most + 1):
        ends = np.flatnonzero(place >= n - 1)
        before = ends if n == 1 else ends - 1  # rank is the row itself at first: texts share no n-gram
        _, new, order = np.unique(rank[before] * vocabulary + ids[ends], return_index=True, return_inverse=True)
        rank = np.zeros_like(ids)
        rank[ends] = order
        seen = np.zeros(len(ids) + 1, dtype=np.int64)  # new n-grams among the first i tokens of all texts
        seen[ends[new] + 1] = 1
        seen = np.cumsum(seen)
        grams = t - n + 1
        found.append(np.where(grams > 0, (seen[first + t] - seen[first]) / np.maximum(grams, 1), np.nan))
    return found


def _loop(ids: np.ndarray, place: np.ndarray, prefixes: Sequence[np.ndarray], starts: np.ndarray) -> np.ndarray:
    """Return the longest loop of each prefix, in tokens: a run of tokens equal to those one period earlier."""
    ids, place = ids.astype(np.int32), place.astype(np.int32)  # half the memory to pass through for every period
    longest = np.zeros(len(ids), dtype=np.int64)
    for period in range(1, min(MAX_PERIOD, len(ids) - 1) + 1):
        equal = period + np.flatnonzero((ids[period:] == ids[:-period]) & (place[period:] >= period))
        index = np.arange(len(equal))
        starts_run = np.diff(equal, prepend=-1) > 1
        run = index - np.maximum.accumulate(index * starts_run) + 1
        looped = equal[run >= period]
        longest[looped] = np.maximum(longest[looped], run[run >= period] + period)
    ends = zip(starts, prefixes, strict=True)
    found = [np.r_[0, np.maximum.accumulate(longest[i : i + max(t, default=0)])][t] for i, t in ends]
    return np.concatenate([np.empty(0), *found])


def _compression(texts: Sequence[np.ndarray], prefixes: Sequence[np.ndarray]) -> np.ndarray:
    """Return the ratio of each prefix: one stream a text, finished in a copy at each prefix."""
    found = []
    for text, lengths in zip(texts, prefixes, strict=True):
        stream, size, done, ratios = zlib.compressobj(), 0, 0, {0: np.nan}
        for t in sorted(set(lengths.tolist()) - {0}):
            size += len(stream.compress(text[done:t].astype("<i4").tobytes()))
            ratios[t] = 4 * t / (size + len(stream.copy().flush()))
            done = t
        found += [ratios[t] for t in lengths.tolist()]
    return np.array(found, dtype=np.float64)
