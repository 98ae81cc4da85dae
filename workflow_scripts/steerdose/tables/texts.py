"""The table of texts: what became of them, whoever died."""

import polars as pl

from steerdose.columns import METHOD
from steerdose.declarations.deaths import TEXTS
from steerdose.declarations.passed import TEXTS_OF_METHOD
from steerdose.files import read_tables, write_csv
from steerdose.outcomes.text import MEASURES
from steerdose.tables.publish import write_html


def tabulate_texts(*, texts: list[str], caption: str, csv: str, html: str) -> None:
    """Write the degeneration of the texts of every method and dose."""
    table = texts_table(read_tables(texts, TEXTS_OF_METHOD))
    write_csv(table, csv, TEXTS)
    write_html(table, html, TEXTS, caption)


def texts_table(texts: pl.DataFrame) -> pl.DataFrame:
    """Return a row a method and dose: n, median length, share that ended, and medians of `text_measures`.

    texts: as `measure_trajectories` returns them.
    """
    length, ended = pl.median("n_tokens").alias("tokens"), pl.mean("ended")
    medians = [pl.median(name) for name in MEASURES]
    return texts.group_by(*METHOD, "alpha", maintain_order=True).agg(pl.len().alias("n"), length, ended, *medians)
