"""Statistics of per-token KL: what the dose is calibrated on, and what a trajectory is judged by."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from .errors import NoTokensError
from .tables import write_table

PERCENTILES = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
STATISTICS = ("mean", "p50", "rmse", "p90", "p95", "p99", "max")


def kl_statistics(kl: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Return `STATISTICS` of KL values (nats), over all prompts x tokens or along one trajectory, and n_tokens.

    Percentiles interpolate linearly; rmse = sqrt(mean of squares).
    """
    values = np.asarray(kl, dtype=np.float64)
    if not len(values):
        raise NoTokensError(
            "every rollout ended at its first token, so there is no KL to take a statistic of; "
            "check models.<name>.chat_template and the prompts"
        )
    found = {
        "mean": values.mean(),
        "rmse": np.sqrt(np.square(values).mean()),
        "max": values.max(),
        **dict(zip(PERCENTILES, np.percentile(values, list(PERCENTILES.values())), strict=True)),
    }
    return {**{name: float(found[name]) for name in STATISTICS}, "n_tokens": len(values)}


def write_evaluations(
    rows: Sequence[Mapping[str, Any]], targets: Mapping[str, float | None], cell: Mapping[str, Any], path: str
) -> None:
    """Write calibration/{method}.parquet: a row an evaluation, with the cell's keys and its sign's target in nats.

    rows: coefficient, sign, split, step, and what `kl_statistics` returns; nulls where there is none.
    """
    types = {**dict.fromkeys(("coefficient", *STATISTICS), pl.Float64), "n_tokens": pl.Int64}
    frame = pl.DataFrame(rows, schema_overrides=types, infer_schema_length=None).with_columns(
        pl.col("sign").replace_strict(targets, return_dtype=pl.Float64).alias("target"),
        *[pl.lit(value).alias(name) for name, value in cell.items()],
    )
    write_table(frame, path)
