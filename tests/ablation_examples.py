"""Screens with a known truth: what every part changes on every item, planted."""

import numpy as np
import polars as pl
from steerdose.ablation.places import PLACE, WHOLE_PLACE, ZERO_PLACE
from steerdose.ablation.shares import drawn, shares
from steerdose.study.tasks import LikelihoodTask, OptionsTask

TASK = OptionsTask(kind="options", data="-", prompt="-", options="a", right="b", batch_size=1)
TEXTS = LikelihoodTask(kind="likelihood", data="-", prompt="-", n_answers=1, batch_size=1)
N = 24


def scores(planted, task="outlook", metric="margin", n=N, noise=0.1, start=0):
    """Scores of the screen. planted: the mean change of each place; the whole's is 1, the unsteered model's 0."""
    every = {ZERO_PLACE: 0.0, WHOLE_PLACE: 1.0, **planted}
    base = np.random.default_rng(start).normal(size=n)
    shared = 0.3 * np.random.default_rng(start + 1).normal(size=n)  # some items move more than others, under all parts
    rows = []
    for place, mean in every.items():
        own = np.random.default_rng([start, *map(ord, "".join(place))]).normal(size=n)
        values = base + mean * (1 + shared) + (noise * own if mean else 0)
        for i, value in enumerate(values):
            rows.append((*place, task, f"i{i}", f"i{i}", "", None, metric, float(value)))
    names = (*PLACE, "task", "item", "cluster", "form", "label", "metric", "value")
    frame = pl.DataFrame(
        rows, schema=dict(zip(names, [*[pl.String] * 8, pl.Int64, pl.String, pl.Float64], strict=True)), orient="row"
    )
    return frame.with_columns(model=pl.lit("m"), behavior=pl.lit("b"), seed=pl.lit(0), method=pl.lit("lora"))


def table(planted, seeds=1, **more):
    """Rows of the table of ablations at the whole's coefficient, the damage as large as the effect."""
    effect = drawn(scores(planted, **more), TASK, "margin")
    damage = drawn(scores(planted, "text", "nll", **more), TEXTS, "nll")
    found = dict(shares(effect, damage, 0.95))
    empty = {"seeds": seeds, "retained": None, "sure_low": None, "within_low": None}
    return {place: dict(zip(PLACE, place, strict=True)) | empty | row for place, row in found.items()}


def sides(way, **parts):
    """Places of a way's parts. parts: what is kept by each, and what is left without it."""
    return {
        (way, name.removeprefix("_"), side, "coefficient"): value
        for name, both in parts.items()
        for side, value in zip(("keep", "drop"), both, strict=True)
    }
