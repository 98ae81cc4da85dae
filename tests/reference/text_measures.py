"""Measures of a text, by their definitions, one prefix after the other."""

import struct
import zlib


def ngrams(ids, n):
    return [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]


def distinct(ids, n):
    grams = ngrams(ids, n)
    return len(set(grams)) / len(grams) if grams else None


def loop(ids, max_period):
    """The longest stretch that repeats with some period, at least twice."""
    best = 0
    for start in range(len(ids)):
        for end in range(start + 2, len(ids) + 1):
            stretch = ids[start:end]
            for period in range(1, min(max_period, len(stretch) // 2) + 1):
                if all(stretch[i] == stretch[i - period] for i in range(period, len(stretch))):
                    best = max(best, len(stretch))
    return best


def compression(ids):
    raw = b"".join(struct.pack("<i", token) for token in ids)
    return len(raw) / len(zlib.compress(raw)) if ids else None


def measures(ids, max_period=64):
    rep_4 = distinct(ids, 4)
    return {
        "rep_4": None if rep_4 is None else 1 - rep_4,
        "loop": loop(ids, max_period),
        **{f"distinct_{n}": distinct(ids, n) for n in (1, 2, 3)},
        "compression": compression(ids),
    }
