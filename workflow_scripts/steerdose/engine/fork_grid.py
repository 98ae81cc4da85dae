"""The grid of forks: after how many generated tokens the probe is read."""

import numpy as np

from steerdose.errors import SteerdoseError


def fork_times(window: int, count: int | None = None, every: int | None = None) -> list[int]:
    """Return the forks from 0 to the window: `count` of them log-spaced, or one every `every` tokens."""
    if window < 1:
        raise SteerdoseError(f"rollout.window must be at least 1 token, found {window}")
    if every:
        return sorted({*range(0, window, every), window})
    spaced = np.rint(np.geomspace(1, window, (count or 2) - 1)).astype(int)
    return sorted({0, window, *spaced.tolist()})
