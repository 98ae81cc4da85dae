"""Rollouts whose pmass falls with dose and time, to be swept over thresholds of death."""

import itertools

import polars as pl
from steerdose.survival.threshold_sweep import threshold_sweep

GRID = [0, 8, 64]
OPTIONS = {
    "kind": "absolute", "value": 0.75, "values": [0.5, 0.75, 0.9], "times": GRID, "confidence": 0.95, "safe_level": 0.5,
}  # fmt: skip


def rollouts(pmass_of, methods=("a",), alphas=(0.0, 1.0, 2.0), prompts=8, model="m"):
    """Forks and trajectories; pmass_of(method, alpha, prompt, t); every third prompt ends at 20 tokens."""
    forks, trajectories = [], []
    for method, alpha, prompt in itertools.product(methods, alphas, range(prompts)):
        coefficient = None if method.startswith("prompt") and alpha else 2 * alpha
        key = {"model": model, "behavior": "b", "seed": 0, "method": method, "alpha": alpha}
        key |= {"coefficient": coefficient, "prompt_id": f"p{prompt}", "sample": 0}
        ended = prompt % 3 == 0
        trajectories.append(key | {"n_tokens": 20 if ended else 64, "ended": ended, "text": ""})
        forks += [
            key
            | {"probe": "x", "reading": "steered", "t": t, "pmass": pmass_of(method, alpha, prompt, t)}
            | {"is_answer": True}
            for t in (GRID[:2] if ended else GRID)
        ]
    return pl.DataFrame(forks), pl.DataFrame(trajectories)


def fading(method, alpha, prompt, t):
    """Falls with dose and time, and differently for each prompt and method."""
    toughness = 1 + "abcdefghijklmnopqrst".find(method[-1]) / 4
    return 0.97 - min(0.9, abs(alpha) * (0.05 + 0.02 * prompt + t / 200) / toughness)


def sweep(forks, trajectories, medians=None, **changes):
    return threshold_sweep(forks, trajectories, medians or {"m": 0.9}, **(OPTIONS | changes))
