"""The interval of a share of trajectories, of which some may answer the same prompt."""

import numpy as np
from scipy.special import betaincinv
from scipy.stats import t as student_t


def share_interval(marks: np.ndarray, prompt: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return bounds of the share of true marks, (trajectories,); prompt: which prompt each is of, (trajectories,).

    One trajectory a prompt: exact (Clopper and Pearson, 1934). Several: the same at the effective number of independent
    ones (Korn and Graubard, 1998), which the spread between prompts tells; as many as prompts where all marks agree.
    """
    share, effective = float(marks.mean()), effective_size(marks, prompt, confidence)
    count, tail = share * effective, (1 - confidence) / 2
    others = effective - count
    low = betaincinv(count, others + 1, tail) if share > 0 else 0.0
    high = betaincinv(count + 1, others, 1 - tail) if share < 1 else 1.0
    return float(low), float(high)


def effective_size(marks: np.ndarray, prompt: np.ndarray, confidence: float) -> float:
    """Return how many independent trajectories would tell as much of the share of true marks; see `share_interval`."""
    _, prompt = np.unique(prompt, return_inverse=True)
    n, clusters = len(marks), int(prompt.max()) + 1
    if clusters == n:
        return float(n)
    share, sizes = float(marks.mean()), np.bincount(prompt)
    residuals = np.bincount(prompt, weights=marks) - share * sizes
    variance = clusters / (clusters - 1) * (residuals**2).sum() / n**2 if clusters > 1 else 0.0
    effective = share * (1 - share) / variance if variance > 0 else float(clusters)
    if clusters > 1:
        tail = (1 + confidence) / 2
        effective *= (student_t.ppf(tail, n - 1) / student_t.ppf(tail, clusters - 1)) ** 2
    return min(effective, float(n))
