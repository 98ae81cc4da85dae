"""The table of delivered KL: how far each dose moved the model on the study's own questions."""

import numpy as np
import polars as pl

from steerdose.columns import METHOD
from steerdose.declarations.methods import DELIVERED_KL
from steerdose.dose.kl_statistics import STATISTICS, statistics_along
from steerdose.files import write_csv, write_table
from steerdose.seeds import seed_from
from steerdose.study.published import TabulateAggregation
from steerdose.tables.aggregation import read_histories
from steerdose.tables.publish import write_html

RESAMPLES = 2000
SHOWN = [STATISTICS.index(name) for name in ("mean", "p95")]


def tabulate_delivered_kl(
    *, tokens: list[str], settings: TabulateAggregation, caption: str, table: str, csv: str, html: str
) -> None:
    """Write the KL of the rollouts themselves by method and dose."""
    found = delivered_kl(read_histories(tokens), settings.confidence)
    write_table(found, table, DELIVERED_KL)
    write_csv(found, csv, DELIVERED_KL)
    write_html(found, html, DELIVERED_KL, caption, n_names=5)


def delivered_kl(histories: pl.DataFrame, confidence: float) -> pl.DataFrame:
    """Return a row a method and alpha: n, mean, p95 and the bounds of p95, in nats.

    histories: keys, and kl as the list of each trajectory. Both are medians over trajectories of the statistic of one
    trajectory's tokens; the interval resamples prompts with all their trajectories. Trajectories without tokens are
    left out; null where none is left.
    """
    rows = []
    for keys, part in histories.group_by(*METHOD, "alpha", maintain_order=True):
        long = part.filter(pl.col("kl").list.len() > 0)
        row = dict(zip((*METHOD, "alpha"), keys, strict=True)) | {"n": long.height}
        if long.height:
            found = np.array([statistics_along(each)[SHOWN] for each in long["kl"].to_numpy()])
            low, high = _interval(found[:, 1], long["prompt_id"].to_numpy(), confidence)
            row |= {"mean": float(np.median(found[:, 0])), "p95": float(np.median(found[:, 1]))}
            row |= {"p95_low": low, "p95_high": high}
        rows.append(row)
    numbers = dict.fromkeys(("mean", "p95", "p95_low", "p95_high"), pl.Float64)
    types = {name: histories.schema[name] for name in (*METHOD, "alpha")}
    return pl.DataFrame(rows, schema={**types, "n": pl.Int64, **numbers})


def _interval(values: np.ndarray, prompts: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return bounds of the median of values, (trajectories,), over resampled prompts."""
    names, which = np.unique(prompts, return_inverse=True)
    of_prompt = [values[which == i] for i in range(len(names))]
    generator = np.random.default_rng(seed_from("delivered_kl", len(names)))
    drawn = generator.integers(0, len(names), (RESAMPLES, len(names)))
    medians = [np.median(np.concatenate([of_prompt[i] for i in rows])) for rows in drawn]
    low, high = np.quantile(medians, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
