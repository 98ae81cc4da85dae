"""What the jobs of a study took: a row for each rule and method, of benchmarks and the jobs' own records."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from steerdose.declarations.cost import COST

GIB_OF_MIB = 1024
METHODS = ("method", "entry", "job")  # wildcards that name what a job is about
KEYS = {"rule": pl.String, "model": pl.String, "behavior": pl.String, "seed": pl.Int64, "method": pl.String}
MEASURED = {"seconds": pl.Float64, "gib": pl.Float64, "tokens": pl.Int64}


def cost_table(entries: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Return the table COST of jobs' records (`flow.provenance.record`), slowest first.

    Jobs without a benchmark, such as those of tables and figures, are left out.
    """
    rows = [{**_keys(entry), **found} for entry in entries if (found := _measured(entry))]
    jobs = pl.DataFrame(rows, schema={**KEYS, **MEASURED})
    told = jobs.group_by(list(KEYS)).agg(
        pl.len().cast(pl.Int64).alias("jobs"), pl.sum("seconds"), pl.max("gib"), pl.sum("tokens")
    )
    share = (pl.col("seconds") / pl.col("seconds").sum()).alias("share")
    tokens = pl.when(pl.col("tokens") > 0).then("tokens")
    speed = (tokens / pl.col("seconds")).alias("tokens_per_second")
    shown = told.with_columns(share, tokens.alias("tokens"), speed).select(each.name for each in COST.columns)
    return shown.sort("seconds", *KEYS, descending=[True, *[False] * len(KEYS)], nulls_last=True)


def _keys(entry: Mapping[str, Any]) -> dict[str, Any]:
    given = entry["wildcards"]
    method = next((given[name] for name in METHODS if name in given), None)
    return {
        "rule": entry["rule"],
        **{name: given.get(name) for name in ("model", "behavior")},
        "seed": int(given["seed"]) if "seed" in given else None,
        "method": method,
    }


def _measured(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a job took; None without a benchmark, which lies in results/benchmarks as logs do in results/logs."""
    place = entry.get("log", "").replace("results/logs/", "results/benchmarks/").removesuffix(".log") + ".tsv"
    if not Path(place).is_file():
        return None
    took = pl.read_csv(place, separator="\t", null_values=["NA", "-"])
    peak = took["max_rss"].cast(pl.Float64, strict=False).max()  # null: over before it was looked at
    gib = peak / GIB_OF_MIB if isinstance(peak, float) else None
    return {"seconds": float(took["s"].sum()), "gib": gib, "tokens": entry["tokens"]}
