"""The table of the statistics of KL: which of them sees what breaks a model."""

from collections.abc import Sequence

import polars as pl

from steerdose.columns import KEYS, deciding
from steerdose.declarations.methods import AGGREGATION
from steerdose.declarations.passed import LIFETIMES, TOKENS
from steerdose.dose.kl_statistics import STATISTICS, kl_statistics
from steerdose.files import read_table, read_tables, sequences, write_csv, write_table
from steerdose.study.published import TabulateAggregation
from steerdose.survival.aggregation import separation, simulated_students
from steerdose.tables.publish import write_html


def tabulate_aggregation(
    *,
    tokens: list[str],
    lifetimes: list[str],
    settings: TabulateAggregation,
    caption: str,
    table: str,
    csv: str,
    html: str,
) -> None:
    """Write what each statistic of KL sees of two simulated students and of this study's deaths."""
    lives = read_tables(lifetimes, LIFETIMES).filter(deciding())
    found = aggregation_table(read_histories(tokens), lives, settings.confidence)
    write_table(found, table, AGGREGATION)
    write_csv(found, csv, AGGREGATION)
    write_html(found, html, AGGREGATION, caption, n_names=1)


def read_histories(paths: Sequence[str]) -> pl.DataFrame:
    """Return the `sequences` of kl of several token tables, read one after the other."""
    return pl.concat([sequences(read_table(path, TOKENS, [*KEYS, "t", "kl"]), "kl") for path in paths])


def aggregation_table(histories: pl.DataFrame, lifetimes: pl.DataFrame, confidence: float) -> pl.DataFrame:
    """Return a row a statistic: broad, loop and ratio of the simulated students, and what `separation` returns.

    histories: keys, and kl as the list of each trajectory. lifetimes: as `lifetimes` returns them, of any
    number of cells and methods.
    """
    students = simulated_students()
    broad, loop = (kl_statistics(students.filter(student=name)["kl"].to_numpy()) for name in ("broad", "loop"))
    rows = [
        {"statistic": name, "broad": broad[name], "loop": loop[name], "ratio": loop[name] / broad[name]}
        for name in STATISTICS
    ]
    return pl.DataFrame(rows).join(separation(histories, lifetimes, confidence), on="statistic", maintain_order="left")
