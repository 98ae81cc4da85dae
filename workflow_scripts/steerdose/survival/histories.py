"""What a trajectory's KL did before it died: a spike, a sustained rise, or nothing that survivors do not do too."""

import math
from collections.abc import Iterator

import numpy as np
import polars as pl

from steerdose.columns import CELL, KEYS, METHOD

HISTORIES = ("at once", "spike", "sustained", "neither", "unclear")
SCOPES = {"dose": (*METHOD, "alpha"), "method": METHOD, "cell": CELL}  # nearest survivors first


def death_histories(lifetimes: pl.DataFrame, prefixes: pl.DataFrame, significance: float) -> pl.DataFrame:
    """Return lifetimes (all trajectories) with history, of `HISTORIES`, of those that died; null for those that lived.

    lifetimes: as `lifetimes` returns them, of any number of cells and methods. prefixes: as
    `measure_trajectories` returns them for the same trajectories.

    A death is judged at the last fork t up to it: with the steered trajectories (alpha not 0) that were alive at t,
    sampling from the risk set, on as many tokens. The ratios `peak` and `level` of `kl_measures` have no unit and no
    dose, and only their ranks count: p = (1 + survivors with at least this value) / (1 + survivors), exact if the dying
    trajectory were one of them (a conformal p-value; Vovk, Gammerman and Shafer 2005).

    sustained: p of `level` is at most the significance; spike: p of `peak` alone is; neither: none is.
    at once: t = 0, no fork with tokens lies before it. A gap of one token has equal ratios, so a rise in it counts as
    sustained, never as a spike. unclear: the ratios are null, or no scope has the 1 / significance - 1 survivors that a
    p that small needs. The scopes are, the nearest first: the same dose, the same method at any dose, any method of the
    cell.

    Also peak, level, scope, survivors (how many it was compared with), p_peak, p_level, all null where it was compared
    with nobody, and kl, the statistic of `kl_measures` at the death, or at the last fork of those that lived.
    """
    known = prefixes.select(*KEYS, "t", "kl", "peak", "level").with_columns(pl.col("t").cast(pl.Int64))
    rows = known.join(lifetimes.select(*KEYS, "duration", "died"), on=KEYS, nulls_equal=True)
    last = rows.filter(pl.col("t") <= pl.col("duration")).sort("t").group_by(KEYS).last()
    dying = last.filter("died")
    alive = (pl.col("t") < pl.col("duration")) | ~pl.col("died")
    at_risk = rows.filter(alive & (pl.col("alpha") != 0)).drop_nulls("peak")
    judged = list(_judge(dying.drop_nulls("peak").sort(KEYS), at_risk, significance))
    types = {name: lifetimes.schema[name] for name in KEYS} | {"scope": pl.String, "survivors": pl.Int64}
    types |= dict.fromkeys(("peak", "level", "p_peak", "p_level"), pl.Float64)
    history = (
        pl.when(~pl.col("died"))
        .then(None)
        .when(pl.col("t") == 0)
        .then(pl.lit("at once"))
        .when(pl.col("scope").is_null())
        .then(pl.lit("unclear"))
        .when(pl.col("p_level") <= significance)
        .then(pl.lit("sustained"))
        .when(pl.col("p_peak") <= significance)
        .then(pl.lit("spike"))
        .otherwise(pl.lit("neither"))
        .alias("history")
    )
    joined = lifetimes.join(
        pl.DataFrame(judged, schema=types), on=KEYS, how="left", nulls_equal=True, maintain_order="left"
    )
    joined = joined.join(last.select(*KEYS, "t", "kl"), on=KEYS, how="left", nulls_equal=True, maintain_order="left")
    return joined.with_columns(history).drop("t")


def _judge(dying: pl.DataFrame, at_risk: pl.DataFrame, significance: float) -> Iterator[dict[str, object]]:
    """Yield a row a death that has a history: its keys, ratios, scope, number of survivors, and p of both ratios."""
    enough = math.ceil(round(1 / significance, 9)) - 1
    pools = {
        scope: {
            tuple(key): np.stack([peak, level], axis=1)
            for *key, peak, level in at_risk.group_by(*columns, "t").agg("peak", "level").iter_rows()
        }
        for scope, columns in SCOPES.items()
    }
    nobody = np.empty((0, 2))
    for death in dying.iter_rows(named=True):
        found = {
            scope: pools[scope].get(tuple(death[name] for name in (*columns, "t")), nobody)
            for scope, columns in SCOPES.items()
        }
        scope, pool = next(((scope, pool) for scope, pool in found.items() if len(pool) >= enough), (None, nobody))
        if scope is None:
            continue
        p_peak, p_level = (1 + (pool >= [death["peak"], death["level"]]).sum(0)) / (1 + len(pool))
        keys = {name: death[name] for name in (*KEYS, "peak", "level")}
        yield keys | {"survivors": len(pool), "scope": scope, "p_peak": float(p_peak), "p_level": float(p_level)}


def deaths_table(deaths: pl.DataFrame) -> pl.DataFrame:
    """Return a row a method and dose: n, died, the deaths by damage and by history, median t and KL.

    deaths: as `death_histories` returns them.
    """
    died, damage = pl.col("died"), pl.col("damage")
    kinds = {"readout": damage == "readout", "text": damage == "text", "not_told": damage.is_null()}
    return deaths.group_by(*METHOD, "alpha", "endpoint", maintain_order=True).agg(
        pl.len().alias("n"),
        died.sum(),
        *[(died & is_kind).sum().alias(name) for name, is_kind in kinds.items()],
        *[(pl.col("history") == name).sum().alias(name.replace(" ", "_")) for name in HISTORIES],
        pl.col("duration").filter("died").median().alias("median_t"),
        pl.col("kl").filter("died").median().alias("kl_at_death"),
        pl.col("kl").filter(~died).median().alias("kl_alive"),
    )
