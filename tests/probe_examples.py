"""A study with three probes on two models."""

import polars as pl
from steerdose.study.published import TabulateProbes
from steerdose.study.rollout import Forks
from steerdose.tables.probes import probes_table

CELL = {"model": "m", "behavior": "b", "seed": 0, "method": "lora", "coefficient": None}


def probed():
    """The table of two models with three probes, of which two are read; the second has a lower threshold."""
    models, rows = ("one", "two"), []
    for model in models:
        key = {**CELL, "model": model, "prompt_id": "p", "sample": 0}
        pmass = {"b": (0.9, 0.4), "c": (0.9, 0.4)} if model == "one" else {"b": (0.2, 0.9), "c": (0.1, 0.9)}
        rows += [
            {**key, "alpha": alpha, "probe": probe, "reading": reading, "t": t}
            | {"pmass": value if alpha else 0.1, "is_answer": True}
            for alpha in (0.0, 1.0)
            for probe, values in pmass.items()
            for reading in ("steered", "unsteered")
            for t, value in zip((0, 4), values, strict=True)
        ]
    written = [
        {**CELL, "model": model, "prompt_id": "p", "sample": 0, "alpha": alpha, "n_tokens": 8, "ended": False}
        for model in models
        for alpha in (0.0, 1.0)
    ]
    audit = {
        name: {"median_pmass": median, "likely": [["x", 1]]} for name, median in (("a", 0.2), ("b", 0.9), ("c", 0.8))
    }
    settings = TabulateProbes(models=models, probes=("c", "b"), window=8, forks=Forks(every=4), minimum_base_pmass=0.5)
    thresholds = {"b": {"threshold": 0.3, "splits": True}, "c": {"threshold": 0.6, "splits": True}}
    return probes_table([audit] * 2, [thresholds] * 2, pl.DataFrame(rows), pl.DataFrame(written), settings)
