"""One row a method and sign: its dose, what that cost, and what it bought; and the spread of that over seeds."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from steerdose.columns import METHOD, SIGNS, deciding
from steerdose.declarations.methods import METHODS, SEEDS
from steerdose.declarations.passed import FORKS, SUMMARIES
from steerdose.files import read_json, read_tables, write_csv
from steerdose.study.probes import truths_of
from steerdose.study.published import MethodFiles, TabulateMethods
from steerdose.study.texts import load_questions
from steerdose.tables.publish import write_html

SPREAD = ("c_star", "audit", "s_end", "effect")


def tabulate_methods(
    *,
    forks: list[str],
    summaries: list[str],
    questions: str,
    settings: TabulateMethods,
    caption: str,
    seeds_caption: str,
    csv: str,
    html: str,
    seeds_csv: str,
    seeds_html: str,
) -> None:
    """Write the table of methods, and its spread over seeds."""
    truths = truths_of(settings.kind, load_questions(questions))
    methods = methods_table(
        settings.methods,
        read_tables(forks, FORKS).filter(probe=settings.probe, reading="steered"),
        read_tables(summaries, SUMMARIES).filter(deciding()),
        truths,
    )
    seeds = over_seeds(methods)
    write_csv(methods, csv, METHODS)
    write_html(methods, html, METHODS, caption, n_names=6)
    write_csv(seeds, seeds_csv, SEEDS)
    write_html(seeds, seeds_html, SEEDS, seeds_caption)


def methods_table(
    methods: Sequence[MethodFiles], forks: pl.DataFrame, summaries: pl.DataFrame, truths: Mapping[str, bool]
) -> pl.DataFrame:
    """Return the rows of all methods, with survival and effect at alpha 1 and -1 where the study rolls these out.

    forks: of the probe that the effect is read on, by the steered model. summaries: as `estimate_survival` returns
    them. truths: the answer of each question.
    """
    rows = [row for method in methods for row in method_rows(method)]
    at_dose = summaries.select(*METHOD, "alpha", "s_end").join(effects(forks, truths), on=[*METHOD, "alpha"])
    signs = pl.DataFrame({"sign": list(SIGNS), "alpha": list(SIGNS.values())})
    frame = pl.DataFrame(rows, infer_schema_length=None).join(signs, on="sign", maintain_order="left")
    table = frame.join(at_dose, on=[*METHOD, "alpha"], how="left", maintain_order="left").drop("alpha")
    return table.select(pl.exclude("origin"), "origin")


def method_rows(method: MethodFiles) -> list[dict[str, Any]]:
    """Return the rows of one method, positive sign first.

    seconds: of all jobs that the method needed up to its calibration. norm: null without a steering, and where one of
    its edits has none.
    """
    calibration = read_json(method.calibration)
    modules = method.modules(read_json(method.geometry)) if method.geometry else [{"norm": None}]
    norms: list[Any] = [module["norm"] for module in modules]
    seconds = sum(float(pl.read_csv(path, separator="\t")["s"].sum()) for path in method.benchmarks)
    return [
        {
            **{name: getattr(method, name) for name in (*METHOD, "group")},
            "sign": sign,
            **{name: calibration[sign][name] for name in ("c_star", "c_star_low", "c_star_high", "relative_dose")},
            "evaluations": calibration[sign]["evaluations"],
            "statistic": calibration["statistic"],
            "target": calibration[sign]["target"],
            "achieved": calibration[sign]["statistic"],
            "audit": calibration[sign]["audit"],
            "converged": calibration[sign]["converged"],
            "reason": calibration[sign]["reason"],
            "norm": None if None in norms else math.hypot(*norms),
            "seconds": seconds,
            "origin": method.origin,
        }
        for sign in SIGNS
    ]


def effects(forks: pl.DataFrame, truths: Mapping[str, bool]) -> pl.DataFrame:
    """Return by cell, method and alpha how much more probable the true answer is than at alpha 0.

    forks: of one probe, read by the steered model, at all alphas of some methods; truths: the answer of each question.
    A trajectory counts with the mean of p(true answer), given that one of the two answers is chosen, over the forks
    that it shares with the unsteered trajectory of its question: a text that ends early has fewer. effect is the mean
    over the questions of steered minus unsteered, in probability.
    """
    truth = pl.DataFrame({"prompt_id": list(truths), "answer": list(truths.values())})
    right = pl.when("answer").then("p_first").otherwise(1 - pl.col("p_first"))
    fork = [*METHOD, "prompt_id", "t"]
    read = forks.join(truth, on="prompt_id", maintain_order="left").select(*fork, "alpha", right.alias("steered"))
    base = read.filter(alpha=0.0).select(*fork, pl.col("steered").alias("unsteered"))
    return (
        read.join(base, on=fork, maintain_order="left")
        .group_by(*METHOD, "alpha", "prompt_id", maintain_order=True)
        .agg(pl.mean("steered", "unsteered"))
        .group_by(*METHOD, "alpha", maintain_order=True)
        .agg((pl.col("steered") - pl.col("unsteered")).mean().alias("effect"))
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
