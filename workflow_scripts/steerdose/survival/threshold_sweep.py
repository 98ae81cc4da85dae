"""How much the conclusions hang on the threshold of death: the same deaths, doses and ranks at many thresholds."""

from collections.abc import Mapping, Sequence

import polars as pl
from scipy.stats import kendalltau

from steerdose.columns import CELL, COHORT, METHOD
from steerdose.survival.dose_response import CURVE, dose_shares, lethal_doses
from steerdose.survival.kaplan_meier import estimate_survival
from steerdose.survival.lifetimes import dips


def threshold_sweep(
    forks: pl.DataFrame,
    trajectories: pl.DataFrame,
    medians: Mapping[str, float],
    *,
    kind: str,
    value: float,
    values: Sequence[float],
    times: Sequence[int],
    confidence: float,
    safe_level: float,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return shares and lethal doses at every threshold of `values`, and at `value`, which is the configured one.

    forks: of one probe; trajectories: of the same methods. medians: by model, the unsteered model's median pmass, of
    which a value is a share if kind is `relative`. times: the fork grid up to the window.

    shares: `dose_shares` with value and configured in front. doses: `lethal_doses` likewise, and rank (1: the largest
    ld50 of its cell and sign; above counts as infinite, below as 0; ties share the smaller rank), unsteered_dead (the
    share dead at alpha 0: the noise floor) and tau (Kendall's tau-b between these ld50 and those at the configured
    value, over the methods of cell and sign; null where one of them is constant).
    """
    lives = [
        dips(trajectories.filter(model=model), of_model, each * scale, times).with_columns(value=pl.lit(each))
        for model, of_model in ((str(key[0]), part) for key, part in forks.group_by("model", maintain_order=True))
        for scale in [medians[model] if kind == "relative" else 1.0]
        for each in sorted({*values, value})
    ]
    shares, doses = [], []
    for curve in _window_curves(pl.concat(lives), times, confidence).partition_by("value", maintain_order=True):
        here = {"value": pl.lit(curve["value"][0]), "configured": pl.lit(curve["value"][0] == value)}
        found = dose_shares(curve.drop("value"))
        lethal = lethal_doses(found, safe_level)
        floor = found.filter(alpha=0).select(*METHOD, pl.col("dead").alias("unsteered_dead"))
        lethal = lethal.join(floor, on=METHOD, how="left", maintain_order="left")
        shares.append(found.with_columns(**here))
        doses.append(lethal.with_columns(**here))
    first = ("value", "configured")
    ranked = _rank(pl.concat(doses))
    return pl.concat(shares).select(*first, pl.exclude(first)), ranked.select(*first, pl.exclude(first))


def _window_curves(lives: pl.DataFrame, times: Sequence[int], confidence: float) -> pl.DataFrame:
    """Return `estimate_survival`'s curve with column value, for lifetimes with column value.

    Most cohorts do not change from one threshold to the next, so equal sets of lifetimes are estimated once.
    """
    cohort = [*COHORT, "value"]
    one = pl.format("{}{}", "duration", pl.when("died").then(pl.lit("d")).otherwise(pl.lit("c")))
    sets = (
        lives.sort("duration", "died", maintain_order=True)
        .group_by(cohort, maintain_order=True)
        .agg(one.str.join(" ").alias("lives"))
    )
    ordered = lives.select(cohort).unique(maintain_order=True)
    sets = ordered.join(sets, on=cohort, nulls_equal=True, maintain_order="left")
    firsts = lives.join(sets.unique("lives", maintain_order=True), on=cohort, nulls_equal=True)
    curves, _ = estimate_survival(firsts.with_columns(method=pl.col("lives")), times, confidence)
    return sets.join(curves.drop(set(COHORT) - {"method"}), left_on="lives", right_on="method", maintain_order="left")


def _rank(doses: pl.DataFrame) -> pl.DataFrame:
    size = pl.col("ld50").fill_null(pl.when(pl.col("status") == "above").then(float("inf")).otherwise(0.0))
    group = [*CELL, "sign", "value"]
    doses = doses.with_columns(size=size).with_columns(
        rank=pl.col("size").rank("min", descending=True).over(group).cast(pl.Int64)
    )
    configured = doses.filter("configured").select(*CURVE, pl.col("rank").alias("set_rank"))
    doses = doses.join(configured, on=CURVE, how="left", maintain_order="left")
    taus = [
        part.select(group).head(1).with_columns(tau=pl.lit(_tau(part["rank"], part["set_rank"]), pl.Float64))
        for part in doses.partition_by(group, maintain_order=True)
    ]
    tau = pl.concat(taus) if taus else doses.select(group).with_columns(tau=pl.lit(None, pl.Float64))
    return doses.join(tau, on=group, how="left", maintain_order="left").drop("size", "set_rank")


def _tau(ranks: pl.Series, others: pl.Series) -> float | None:
    if min(ranks.n_unique(), others.n_unique()) < 2:
        return None
    return float(kendalltau(ranks.to_numpy(), others.to_numpy()).statistic)
