"""Histories and lifetimes of small studies, by how KL and deaths go together."""

import itertools

import numpy as np
import polars as pl
from steerdose.columns import KEYS
from steerdose.files import sequences


def study(kl_of, duration_of, alphas=(0.0, 1.0, 2.0), prompts=8, methods=("a", "b"), models=("m",), window=32):
    """Histories and lifetimes; kl_of(generator, dies) gives the KL of a trajectory, duration_of its life."""
    generator = np.random.default_rng(0)
    tokens, lives = [], []
    for model, method, alpha, prompt in itertools.product(models, methods, alphas, range(prompts)):
        dies = alpha > 0 and generator.random() < 0.5
        key = dict(zip(KEYS, (model, "b", 0, method, alpha, alpha, f"p{prompt}", 0), strict=True))
        kl = kl_of(generator, dies, window) if alpha else np.zeros(window)
        tokens += [{**key, "t": t, "token_id": 0, "kl": float(value)} for t, value in enumerate(kl, start=1)]
        duration = duration_of(generator, dies, window)
        lives.append({**key, "duration": duration, "died": dies, "ended": False})
    return sequences(pl.DataFrame(tokens), "kl"), pl.DataFrame(lives)


def spiky(generator, dies, window):
    """Mean 1 for all; those that die have it in few tokens."""
    kl = generator.uniform(0.2, 0.3, window)
    if dies:
        kl[[0, 1]] += generator.uniform(2, 3, 2)
    return kl / kl.mean() * generator.uniform(0.95, 1.05)


def noisy(generator, dies, window):
    return generator.exponential(size=window)


def at_the_end(generator, dies, window):
    return window


def anywhere(generator, dies, window):
    return int(generator.choice([0, 2, 8, 32])) if dies else int(generator.choice([5, 8, window]))


def value(table, statistic, column):
    return table.filter(statistic=statistic)[column][0]
