"""The table of log-rank tests."""

from steerdose.columns import deciding
from steerdose.declarations.passed import LIFETIMES
from steerdose.declarations.survival import LOGRANK
from steerdose.files import read_tables, write_csv
from steerdose.study.published import TabulateLogrank
from steerdose.survival.logrank import logrank_table
from steerdose.tables.publish import write_html


def tabulate_logrank(*, lifetimes: list[str], settings: TabulateLogrank, caption: str, csv: str, html: str) -> None:
    """Write the comparisons of doses, and of the methods of each named set."""
    table = logrank_table(read_tables(lifetimes, LIFETIMES).filter(deciding()), settings.comparisons)
    write_csv(table, csv, LOGRANK)
    write_html(table, html, LOGRANK, caption, n_names=7)
