"""A method's own tables, from the jobs that computed parts of them and of other methods."""

import polars as pl

from steerdose.columns import Cell
from steerdose.declarations.base import Table
from steerdose.declarations.passed import (
    FORKS,
    KEYED_SCORES,
    KEYED_TRAJECTORIES,
    SCORES,
    TOKENS,
    TRAJECTORIES,
)
from steerdose.files import read_tables, write_table


def own_rows(parts: list[str], table: Table, method: str | None) -> pl.DataFrame:
    """Return a method's rows of all parts, in order."""
    return read_tables(parts, table).filter(pl.col("method") == method).drop("key", strict=False)


def gather_rollouts(
    *,
    tokens: list[str],
    trajectories: list[str],
    forks: list[str],
    cell: Cell,
    tokens_table: str,
    trajectories_table: str,
    forks_table: str,
) -> None:
    """Write rollouts/{method}.{tokens,trajectories,forks}.parquet."""
    write_table(own_rows(tokens, TOKENS, cell.method), tokens_table, TOKENS)
    write_table(own_rows(trajectories, KEYED_TRAJECTORIES, cell.method), trajectories_table, TRAJECTORIES)
    write_table(own_rows(forks, FORKS, cell.method), forks_table, FORKS)


def gather_scores(*, parts: list[str], cell: Cell, task: str, scores: str) -> None:
    """Write scores/{method}.{task}.parquet."""
    write_table(own_rows(parts, KEYED_SCORES, cell.method).with_columns(task=pl.lit(task)), scores, SCORES)
