"""What can be known of a trajectory at each fork without asking the model: measures of its text and its KL so far."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from .kl_history import kl_measures
from .tables import KEYS
from .text_measures import text_measures


def measure_prefixes(tokens: pl.DataFrame, forks: pl.DataFrame, statistic: str, n: int) -> pl.DataFrame:
    """Return a row a trajectory and fork: KEYS, t, the measures of `text_measures` and those of `kl_measures`.

    tokens: KEYS, t, token_id, kl (nats). forks: KEYS, t; several readings of a fork are one row here. A measure is null
    where the prefix is too short for it.
    """
    grids = forks.select(*KEYS, "t").unique().sort("t").group_by(KEYS).agg("t").sort(KEYS)
    rows = _with_sequences(grids, tokens)
    prefixes = [np.array(each) for each in rows["t"].to_list()]
    measures = text_measures(_arrays(rows, "token_id"), prefixes)
    measures |= kl_measures(_arrays(rows, "kl"), prefixes, statistic, n)
    return _with_measures(rows.select(*KEYS, "t").explode("t"), measures)


def measure_texts(tokens: pl.DataFrame, trajectories: pl.DataFrame) -> pl.DataFrame:
    """Return a row a trajectory: its keys, n_tokens, ended, and the measures of `text_measures` over its whole text."""
    rows = _with_sequences(trajectories.select(*KEYS, "n_tokens", "ended"), tokens)
    texts = _arrays(rows, "token_id")
    measures = text_measures(texts, [np.array([len(text)]) for text in texts])
    return _with_measures(rows.select(*KEYS, "n_tokens", "ended"), measures)


def _with_sequences(rows: pl.DataFrame, tokens: pl.DataFrame) -> pl.DataFrame:
    sequences = tokens.sort("t").group_by(KEYS, maintain_order=True).agg("token_id", "kl")
    return rows.join(sequences, on=KEYS, how="left", nulls_equal=True, maintain_order="left")


def _arrays(rows: pl.DataFrame, column: str) -> Sequence[np.ndarray]:
    """Return a column of lists as arrays; a trajectory without tokens has an empty one."""
    return [np.empty(0) if each is None else each.to_numpy() for each in rows[column]]


def _with_measures(rows: pl.DataFrame, measures: dict[str, np.ndarray]) -> pl.DataFrame:
    columns = [pl.Series(name, values, dtype=pl.Float64).fill_nan(None) for name, values in measures.items()]
    return rows.with_columns(columns)
