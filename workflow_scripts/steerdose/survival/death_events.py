"""Other ways to call a trajectory dead, from its text or its KL alone, and how far they agree with the probe's."""

from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from steerdose.columns import CELL, KEYS, METHOD, sign_of_alpha
from steerdose.outcomes.text import MEASURES
from steerdose.seeds import seed_from

EVENTS = ("pmass", *MEASURES, "kl")
RESAMPLES = 2000
ALL = "all methods"
COUNTS = ("n", "both", "only_a", "only_b", "neither")
KAPPA = ("kappa", "kappa_low", "kappa_high")
ORDER = ("a_first", "same_fork", "b_first")
AGREEMENT: dict[str, type[pl.DataType]] = {
    **{
        "model": pl.String,
        "behavior": pl.String,
        "seed": pl.Int64,
        "method": pl.String,
        "a": pl.String,
        "b": pl.String,
    },
    **{name: pl.Float64 if name in KAPPA else pl.Int64 for name in (*COUNTS, *KAPPA, *ORDER)},
}


def death_events(
    prefixes: pl.DataFrame, lifetimes: pl.DataFrame, calibration: pl.DataFrame, quantile: float, kl_multiple: float
) -> pl.DataFrame:
    """Return a row a trajectory and event of `EVENTS`: KEYS, event, t, the first fork where it occurs (null: never).

    prefixes: as `measure_trajectories` returns them. lifetimes: as `lifetimes` does. calibration: rows with
    METHOD, sign, target (nats); a null target has no event kl.

    A text measure is an event where it lies beyond a band around the unsteered model's (alpha 0) median over prompts at
    the same fork. The band's width is constant over forks: the `quantile` over the unsteered trajectories of their own
    largest excess over that median. So about 1 - quantile of the unsteered trajectories have the event at some fork,
    however many forks there are; a quantile at each fork would let through as many at every one. Where no unsteered
    text is as long, the median of the last fork that one reached stands in.
    """
    group = [*CELL, "event"]
    measured = prefixes.unpivot(list(MEASURES), index=[*KEYS, "t"], variable_name="event")
    worse = measured.with_columns(pl.col("value") * pl.col("event").replace_strict(MEASURES))
    worse = worse.sort("t", maintain_order=True)
    # Every method rolls the same unsteered texts out: those of the first count.
    unsteered = worse.filter(alpha=0.0).drop_nulls("value")
    unsteered = unsteered.unique([*group, "prompt_id", "t"], keep="first", maintain_order=True)
    centre = unsteered.group_by(*group, "t").agg(pl.median("value").alias("centre")).sort("t")
    excess = (pl.col("value") - pl.col("centre")).alias("excess")
    worst = unsteered.join(centre, on=[*group, "t"]).group_by(*group, "prompt_id").agg(excess.max())
    band = worst.group_by(group).agg(pl.col("excess").quantile(quantile, "linear").alias("band"))
    compared = worse.join_asof(centre, on="t", by=group, check_sortedness=False).join(band, on=group)
    targets = calibration.select(*METHOD, "sign", "target").unique(maintain_order=True).drop_nulls()
    doses = prefixes.with_columns(sign_of_alpha()).join(targets, on=[*METHOD, "sign"])
    seen = pl.concat(
        [
            lifetimes.select(*KEYS, pl.lit("pmass").alias("event"), pl.col("duration").alias("t"), occurs="died"),
            compared.select(*KEYS, "event", pl.col("t").cast(pl.Int64), occurs=excess > pl.col("band")),
            doses.select(
                *KEYS,
                pl.lit("kl").alias("event"),
                pl.col("t").cast(pl.Int64),
                occurs=pl.col("kl") > kl_multiple * pl.col("target"),
            ),
        ]
    )
    first = seen.group_by(*KEYS, "event").agg(pl.col("t").filter("occurs").min()).sort("event")
    return lifetimes.select(KEYS).join(first, on=KEYS, nulls_equal=True, maintain_order="left_right")


def event_agreement(events: pl.DataFrame, confidence: float) -> pl.DataFrame:
    """Return how far pairs of events agree on the steered trajectories, over all doses.

    events: as `death_events` returns them. A row a method for pmass with each other event, and under the name
    `ALL` every pair over all methods of the cell: a, b, n, both, only_a, only_b, neither, kappa (Cohen 1960),
    kappa_low, kappa_high (percentiles of a bootstrap that resamples prompts with all their trajectories; null where
    kappa is), a_first, same_fork, b_first among both.
    """
    steered = events.filter(pl.col("alpha") != 0)
    rows = []
    for (model, behavior, seed), cell in steered.group_by(CELL, maintain_order=True):
        names = {"model": model, "behavior": behavior, "seed": seed}
        for (method,), part in cell.group_by("method", maintain_order=True):
            rows += [names | {"method": method} | _agreement(part, "pmass", b, confidence) for b in EVENTS[1:]]
        pairs = combinations(EVENTS, 2)
        rows += [names | {"method": ALL} | _agreement(cell, a, b, confidence) for a, b in pairs]
    return pl.DataFrame(rows, schema=AGREEMENT).filter(pl.col("n") > 0)


def _agreement(events: pl.DataFrame, a: str, b: str, confidence: float) -> dict[str, Any]:
    """Compare two events on the trajectories for which both are defined."""
    other = events.filter(event=b).select(*KEYS, t_b="t")
    pair = events.filter(event=a).join(other, on=KEYS, nulls_equal=True).sort("prompt_id")
    occurs = [pair[name].is_not_null().to_numpy() for name in ("t", "t_b")]
    outcome = 2 * occurs[0] + occurs[1]  # 3 both, 2 only a, 1 only b, 0 neither
    prompts, prompt = np.unique(pair["prompt_id"].to_numpy(), return_inverse=True)
    counts = np.zeros((len(prompts), 4))
    np.add.at(counts, (prompt, outcome), 1)
    total = counts.sum(0)
    kappa = float(cohen_kappa(total))
    low, high = _kappa_interval(counts, confidence) if np.isfinite(kappa) else (None, None)
    lead = (pair["t_b"] - pair["t"]).drop_nulls()
    return {
        "a": a,
        "b": b,
        "n": len(pair),
        **dict(zip(COUNTS[1:], total[::-1].astype(int).tolist(), strict=True)),
        **dict(zip(KAPPA, (kappa if np.isfinite(kappa) else None, low, high), strict=True)),
        **dict(zip(ORDER, (int(each.sum()) for each in (lead > 0, lead == 0, lead < 0)), strict=True)),
    }


def cohen_kappa(counts: np.ndarray) -> np.ndarray:
    """Return (p_o - p_e) / (1 - p_e) of tables (..., 4) that count neither, only b, only a, both.

    p_o is the share of equal verdicts, p_e what independent verdicts of the same frequencies would give (Cohen 1960).
    NaN where one of the two never or always occurs.
    """
    neither, only_b, only_a, both = np.moveaxis(np.asarray(counts, dtype=float), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        n = neither + only_b + only_a + both
        a, b = (only_a + both) / n, (only_b + both) / n
        expected = a * b + (1 - a) * (1 - b)
        kappa = ((neither + both) / n - expected) / (1 - expected)
    varies = (a > 0) & (a < 1) & (b > 0) & (b < 1)
    return np.where(varies, kappa, np.nan)


def _kappa_interval(counts: np.ndarray, confidence: float) -> tuple[float | None, float | None]:
    """Resample prompts. counts: (prompts, 4). Resamples in which kappa is not defined are left out."""
    n = len(counts)
    generator = np.random.default_rng(seed_from("death_events"))
    resampled = cohen_kappa(generator.multinomial(n, np.full(n, 1 / n), size=RESAMPLES) @ counts)
    resampled = resampled[np.isfinite(resampled)]
    if n == 1 or not len(resampled):
        return None, None
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
