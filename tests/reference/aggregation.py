"""The separation of dying from living trajectories, pair by pair."""

import math

import numpy as np

DEFINITIONS = {
    "mean": np.mean,
    "p50": lambda kl: np.percentile(kl, 50),
    "rmse": lambda kl: math.sqrt(np.mean(np.square(kl))),
    "p90": lambda kl: np.percentile(kl, 90),
    "p95": lambda kl: np.percentile(kl, 95),
    "p99": lambda kl: np.percentile(kl, 99),
    "max": np.max,
}


def textbook_auc(lives, kl, statistic, caliper):
    """lives: lifetimes as dicts; kl: lists by (model, method, alpha, prompt_id). Returns the AUC and its pairs."""
    wins = pairs = 0
    for case in lives:
        t = case["duration"]
        if not case["died"] or t == 0 or case["alpha"] == 0:
            continue
        for other in lives:
            alive_at_t = other["duration"] > t or (other["duration"] == t and not other["died"])
            if not alive_at_t or other["alpha"] == 0 or other["model"] != case["model"]:
                continue
            a, b = (
                np.array(kl[row["model"], row["method"], row["alpha"], row["prompt_id"]][:t], dtype=float)
                for row in (case, other)
            )
            if max(a.mean() / b.mean(), b.mean() / a.mean()) < caliper:
                high, low = DEFINITIONS[statistic](a), DEFINITIONS[statistic](b)
                wins += 1.0 if high > low else 0.5 if high == low else 0.0
                pairs += 1
    return wins / pairs, pairs
