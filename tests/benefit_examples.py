"""Scores of tasks with planted effects, and the study parts that describe them."""

import numpy as np
import polars as pl
from steerdose.study.tasks import ChoiceTask, Form, LikelihoodTask, WritingTask

YES = ("yes", "no")
FORMS = {
    "plain": Form(prompt="{claim}?", answers=YES, intended="first"),
    "turned": Form(prompt="Not {claim}?", answers=YES, intended="second"),
    "letters": Form(prompt="{claim} A/B", answers=("A", "B"), intended="first"),
    "letters_turned": Form(prompt="{claim} B/A", answers=("A", "B"), intended="second"),
}
CHOICE = ChoiceTask(kind="choice", data="d", forms=FORMS, batch_size=4)
MOOD = WritingTask(kind="writing", data="d", scorer="valence", window=8, batch_size=4)
TEXT = LikelihoodTask(kind="likelihood", data="d", prompt="?", n_answers=0, batch_size=4)
CELL = {"model": "m", "behavior": "b", "seed": 0}


def choice_scores(shift, methods=("one",), n=40, alphas=(0.0, 1.0, 2.0), seed=0):
    """Scores of CHOICE. shift(method, alpha, form, label, draw): what a dose adds to the log-odds of (items,)."""
    draw, frames = np.random.default_rng(seed), []
    base = {form: draw.normal(size=n) for form in FORMS}
    for method in methods:
        for alpha in alphas:
            for form, asked in FORMS.items():
                label = 1 if asked.intended == "first" else -1
                y = base[form] + (shift(method, alpha, form, label, draw) if alpha else 0)
                values = {"logratio": y, "pmass": np.full(n, 0.8), "answered": np.ones(n)}
                frames += [frame(method, alpha, form, label, metric, each) for metric, each in values.items()]
    return pl.concat(frames)


def frame(method, alpha, form, label, metric, values):
    items = [f"i{i:03}" for i in range(len(values))]
    own = {"item": items, "cluster": items, "value": np.broadcast_to(values, len(items))}
    same = {**CELL, "method": method, "alpha": alpha, "coefficient": alpha, "form": form, "metric": metric}
    constants = [pl.lit(value).alias(name) for name, value in same.items()]
    return pl.DataFrame(own).with_columns(*constants, pl.lit(label, pl.Int64).alias("label"))


def mood_scores(changes, n=40, noise=0.05, method="one"):
    """Scores of MOOD. changes: the mean change by alpha, or (change, share broken)."""
    draw = np.random.default_rng(1)
    base, frames = draw.normal(0.3, 0.2, n), []
    for alpha, planted in {0.0: 0.0, **changes}.items():
        change, broken = planted if isinstance(planted, tuple) else (planted, 0.0)
        dead = np.arange(n) < round(broken * n)
        value = base + (change + noise * draw.normal(size=n) if alpha else 0)
        own = frame(method, alpha, "", None, "valence", value)
        frames.append(own.with_columns(value=pl.when(pl.Series(dead)).then(None).otherwise("value")))
        frames.append(frame(method, alpha, "", None, "broken", dead.astype(float)))
    return pl.concat(frames)
