"""How sure a mean over held-out prompts and seeds is."""

from collections.abc import Sequence

import numpy as np

from steerdose.seeds import seed_from


def resampled_mean(by_seed: Sequence[np.ndarray], confidence: float, draws: int = 2000) -> tuple[float, float]:
    """Return bounds of a mean over prompts and seeds, both resampled. by_seed: R of every prompt, (n,), a seed each."""
    values = np.stack(list(by_seed))
    seeds, n = values.shape
    rng = np.random.default_rng(seed_from("prompts", seeds, n))
    picked = rng.integers(seeds, size=(draws, seeds, 1)), rng.integers(n, size=(draws, 1, n))
    means = values[picked].mean((1, 2))
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
