"""Statistics of per-token KL: what the dose is calibrated on, and what a trajectory is judged by."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from steerdose.columns import Cell
from steerdose.errors import NoTokensError

PERCENTILES = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
STATISTICS = ("mean", "p50", "rmse", "p90", "p95", "p99", "max")
ALONG: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda values: values.mean(-1),
    "rmse": lambda values: np.sqrt(np.square(values).mean(-1)),
    "max": lambda values: values.max(-1),
}


def kl_statistics(kl: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Return `STATISTICS` of KL values (nats), over all prompts x tokens or along one trajectory, and n_tokens."""
    if not len(kl):
        raise NoTokensError(
            "every rollout ended at its first token, so there is no KL to take a statistic of; "
            "check models.<name>.chat_template and the prompts"
        )
    found = statistics_along(np.asarray(kl)).tolist()
    return {**dict(zip(STATISTICS, found, strict=True)), "n_tokens": len(kl)}


def statistics_along(kl: np.ndarray) -> np.ndarray:
    """Return `STATISTICS` over the last axis, (..., tokens) to (statistics, ...), in double precision.

    Percentiles interpolate linearly; rmse = sqrt(mean of squares).
    """
    values = np.asarray(kl, dtype=np.float64)
    found = {name: along(values) for name, along in ALONG.items()}
    found |= zip(PERCENTILES, np.percentile(values, list(PERCENTILES.values()), axis=-1), strict=True)
    return np.stack([found[name] for name in STATISTICS])


def trailing_statistic(kl: np.ndarray, statistic: str, length: int) -> np.ndarray:
    """Return one of `STATISTICS` over the last `length` tokens at every token, (tokens,); NaN where there are fewer."""
    values = np.asarray(kl, dtype=np.float64)
    found = np.full(len(values), np.nan)
    if len(values) >= length:
        last = np.lib.stride_tricks.sliding_window_view(values, length)
        percentile = PERCENTILES.get(statistic)
        found[length - 1 :] = np.percentile(last, percentile, axis=-1) if percentile else ALONG[statistic](last)
    return found


def evaluations(rows: Sequence[Mapping[str, Any]], targets: Mapping[str, float | None], cell: Cell) -> pl.DataFrame:
    """Return the table of a calibration: a row an evaluation, with the cell's keys and its sign's target in nats.

    rows: coefficient, sign, split, step, and what `kl_statistics` returns; nulls where there is none.
    """
    types = {**dict.fromkeys(("coefficient", *STATISTICS), pl.Float64), "n_tokens": pl.Int64}
    return pl.DataFrame(rows, schema_overrides=types, infer_schema_length=None).with_columns(
        pl.col("sign").replace_strict(targets, return_dtype=pl.Float64).alias("target"), *cell.columns()
    )
