"""How much memory rows take that are decoded or read together, from the sizes of a model; see `model.sizes`."""

GIB = 2**30
FLOAT = 4  # bytes
LOGITS = 2  # copies of a row's logits that exist at a time
LOGIT_BYTES = 2**28  # of fp32 logits, of which a piece of what is scored has more only if one position of its rows has


def row_bytes(width: float, cache: int, vocabulary: int, element: int = FLOAT) -> float:
    """Return the bytes of one row of `width` tokens: what attention keeps of them, and its logits.

    cache: numbers kept of a token in all blocks. vocabulary: logits of a row. element: bytes of a kept number.
    """
    return width * cache * element + LOGITS * vocabulary * FLOAT
