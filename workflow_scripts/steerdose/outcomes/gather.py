"""A method's own tables, from the jobs that computed parts of them and of other methods."""

import polars as pl

from steerdose.columns import Cell
from steerdose.files import read_tables, write_table


def own_rows(parts: list[str], method: str | None) -> pl.DataFrame:
    """Return a method's rows of all parts, in order."""
    return read_tables(parts).filter(pl.col("method") == method).drop("key", strict=False)


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
    for parts, table in ((tokens, tokens_table), (trajectories, trajectories_table), (forks, forks_table)):
        write_table(own_rows(parts, cell.method), table)


def gather_scores(*, parts: list[str], cell: Cell, scores: str) -> None:
    """Write scores/{method}.{task}.parquet."""
    write_table(own_rows(parts, cell.method), scores)
