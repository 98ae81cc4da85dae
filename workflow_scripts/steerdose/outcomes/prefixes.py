"""What can be known of a trajectory without asking the model: measures of its text and KL, at forks and at its end."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from steerdose.columns import KEYS
from steerdose.declarations.passed import FORKS, PREFIXES, TEXTS_OF_METHOD, TOKENS, TRAJECTORIES
from steerdose.files import read_table, sequences, write_table
from steerdose.outcomes.kl import kl_measures
from steerdose.outcomes.text import text_measures
from steerdose.study.settings import MeasurePrefixes


def measure_prefixes(
    *, tokens: str, forks: str, trajectories: str, settings: MeasurePrefixes, prefixes: str, texts: str
) -> None:
    """Write what text and KL say of a method's trajectories, up to every fork and as a whole."""
    at_forks, whole = measure_trajectories(
        read_table(tokens, TOKENS),
        read_table(forks, FORKS),
        read_table(trajectories, TRAJECTORIES),
        settings.statistic,
        settings.head,
    )
    write_table(at_forks, prefixes, PREFIXES)
    write_table(whole, texts, TEXTS_OF_METHOD)


def measure_trajectories(
    tokens: pl.DataFrame, forks: pl.DataFrame, trajectories: pl.DataFrame, statistic: str, n: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return prefixes, a row a trajectory and fork, and texts, a row a trajectory.

    prefixes: KEYS, t, the measures of `text_measures` over tokens 1 to t, and those of `kl_measures`. texts: KEYS,
    n_tokens, ended, and the measures of `text_measures` over the whole text. A measure is null where there are too few
    tokens for it.

    tokens: KEYS, t, token_id, kl (nats). forks: KEYS, t; several readings of a fork are one row here. trajectories:
    KEYS, n_tokens, ended. statistic: the one of `kl_measures`, with n tokens as the head.
    """
    grids = forks.select(*KEYS, "t").unique().group_by(KEYS).agg(pl.col("t").sort())
    rows = trajectories.select(*KEYS, "n_tokens", "ended")
    for lists in (grids, sequences(tokens, "token_id", "kl")):
        rows = rows.join(lists, on=KEYS, how="left", nulls_equal=True, maintain_order="left")
    texts, histories, grid = (_arrays(rows[name]) for name in ("token_id", "kl", "t"))
    measures = text_measures(texts, [np.r_[t, len(text)].astype(int) for t, text in zip(grid, texts, strict=True)])
    whole = np.cumsum([len(t) + 1 for t in grid]) - 1  # of each trajectory the last is its whole text
    at_forks = {name: np.delete(values, whole) for name, values in measures.items()}
    at_forks |= kl_measures(histories, grid, statistic, n)
    return (
        _with_measures(rows.select(*KEYS, "t").explode("t", empty_as_null=False), at_forks),
        _with_measures(rows.select(*KEYS, "n_tokens", "ended"), {name: v[whole] for name, v in measures.items()}),
    )


def _arrays(lists: pl.Series) -> Sequence[np.ndarray]:
    """Return a column of lists as arrays; where there is no list the array is empty."""
    return [np.empty(0, dtype=int) if each is None else each.to_numpy() for each in lists]


def _with_measures(rows: pl.DataFrame, measures: dict[str, np.ndarray]) -> pl.DataFrame:
    columns = [pl.Series(name, values, dtype=pl.Float64).fill_nan(None) for name, values in measures.items()]
    return rows.with_columns(columns)
