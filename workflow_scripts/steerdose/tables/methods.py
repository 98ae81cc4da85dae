"""One row a method and sign: its dose, what that cost, and what it bought; and the spread of that over seeds."""

import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from steerdose.files import read_json, read_tables
from steerdose.steering.signs import SIGNS
from steerdose.study.texts import load_questions

CELL = ("model", "behavior", "seed", "method")
METHODS_CAPTION = (
    "Every method and sign at its calibrated dose. c star: the coefficient of dose 1, at which the statistic of the KL "
    "against the unsteered model meets the target (nats); achieved: its value there, after so many evaluations; audit: "
    "its value on prompts that did not set the dose. norm: of the whole steering at coefficient 1, the Frobenius norm "
    "of a weight delta or the length of an added direction. seconds: of all jobs up to the calibration, both signs. "
    "s end: Kaplan-Meier share of trajectories that can still answer at the end of the window, at dose 1 (alpha -1 for "
    "the negative sign). effect: mean gain in the probability of the true answer there, against the unsteered model. "
    "Empty: not defined for this kind of method, or not rolled out at that dose."
)
SEEDS_CAPTION = (
    "The same over the seeds of the study: mean and standard deviation (n - 1; empty with one seed). sign agreement: "
    "the share of seeds whose effect has the more frequent sign; one of two seeds agree by construction."
)
SPREAD = ("c_star", "audit", "s_end", "effect")


def method_rows(
    cell: dict[str, Any], calibration: dict[str, Any], geometry: dict[str, Any] | None, seconds: float
) -> list[dict[str, Any]]:
    """Return the rows of one method, positive sign first.

    calibration, geometry: contents of calibration/{method}.json and steering/{method}.geometry.json (None: a method
    without a steering); seconds: of all jobs that the method needed up to its calibration.
    """
    norms: list[Any] = [module["norm"] for module in geometry["modules"]] if geometry else [None]
    return [
        {
            **cell,
            "sign": sign,
            "c_star": calibration[sign]["c_star"],
            "evaluations": calibration[sign]["evaluations"],
            "statistic": calibration["statistic"],
            "target": calibration[sign]["target"],
            "achieved": calibration[sign]["statistic"],
            "audit": calibration[sign]["audit"],
            "reason": calibration[sign]["reason"],
            "norm": None if None in norms else math.hypot(*norms),
            "seconds": seconds,
        }
        for sign in SIGNS
    ]


def effects(forks: pl.DataFrame, truths: dict[str, bool]) -> pl.DataFrame:
    """Return by cell, method and alpha how much more probable the true answer is than at alpha 0.

    forks: of one probe, read by the steered model, at all alphas of some methods; truths: the answer of each question.
    A trajectory counts with the mean over its forks of p(true answer), given that one of the two answers is chosen;
    effect is the mean over the questions of steered minus unsteered, in probability.
    """
    truth = pl.DataFrame({"prompt_id": list(truths), "answer": list(truths.values())})
    right = pl.when("answer").then("p_first").otherwise(1 - pl.col("p_first"))
    mean = (
        forks.join(truth, on="prompt_id")
        .group_by(*CELL, "alpha", "prompt_id", maintain_order=True)
        .agg(right.mean().alias("p_correct"))
    )
    base = mean.filter(alpha=0.0).select(*CELL, "prompt_id", pl.col("p_correct").alias("unsteered"))
    return (
        mean.join(base, on=[*CELL, "prompt_id"])
        .group_by(*CELL, "alpha", maintain_order=True)
        .agg((pl.col("p_correct") - pl.col("unsteered")).mean().alias("effect"))
    )


def over_seeds(methods: pl.DataFrame) -> pl.DataFrame:
    """Return mean and standard deviation (n - 1) of `SPREAD` over the seeds of each method and sign.

    effect_sign_agreement is the share of seeds whose effect has the more frequent sign.
    """
    signs = pl.col("effect").sign().drop_nulls()
    return methods.group_by("model", "behavior", "method", "sign", maintain_order=True).agg(
        pl.n_unique("seed").alias("seeds"),
        *[each for name in SPREAD for each in (pl.mean(name).alias(f"{name}_mean"), pl.std(name).alias(f"{name}_std"))],
        (signs.unique_counts().max() / signs.len()).alias("effect_sign_agreement"),
    )


def methods_table(
    cells: Sequence[dict[str, Any]], forks: Sequence[str], summaries: Sequence[str], questions: str, probe: str
) -> pl.DataFrame:
    """Return the rows of all methods, with survival and effect at alpha 1 and -1 where the study rolls these out.

    cells: of each method model, behavior, seed, method, and the paths `calibration`, `geometry` (or None) and
    `benchmarks`, the benchmark files of all jobs that it needed. forks, summaries: paths of `rollout_trajectories` and
    `kaplan_meier`. probe: the one that the effect is read on.
    """
    rows = []
    for cell in cells:
        key, geometry = {name: cell[name] for name in CELL}, cell["geometry"]
        seconds = sum(float(pl.read_csv(path, separator="\t")["s"].sum()) for path in cell["benchmarks"])
        rows += method_rows(key, read_json(cell["calibration"]), geometry and read_json(geometry), seconds)
    truths = {question.id: question.answer for question in load_questions(questions)}
    found = read_tables(list(summaries)).select(*CELL, "alpha", "s_end")
    read = read_tables(list(forks)).filter(probe=probe, reading="steered")
    at_dose = found.join(effects(read, truths), on=[*CELL, "alpha"])
    signs = pl.DataFrame({"sign": list(SIGNS), "alpha": list(SIGNS.values())})
    frame = pl.DataFrame(rows, infer_schema_length=None).join(signs, on="sign", maintain_order="left")
    return frame.join(at_dose, on=[*CELL, "alpha"], how="left", maintain_order="left").drop("alpha")
