"""Seeds from named parts through a stable hash, so that no result depends on what ran before it."""

import hashlib


def seed_from(*parts: object) -> int:
    """Return a seed below 2**31 that depends only on the parts' text."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:4], "big") >> 1
