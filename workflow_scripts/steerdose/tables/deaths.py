"""The table of deaths: by what broke, and by the KL before them."""

import polars as pl

from steerdose.declarations.deaths import DEATHS
from steerdose.declarations.passed import DEATH_HISTORIES, LIFETIMES, PREFIXES
from steerdose.files import read_tables, write_csv, write_table
from steerdose.study.published import TabulateDeaths
from steerdose.survival.histories import death_histories, deaths_table
from steerdose.tables.publish import write_html


def tabulate_deaths(
    *,
    lifetimes: list[str],
    prefixes: list[str],
    settings: TabulateDeaths,
    caption: str,
    deaths: str,
    csv: str,
    html: str,
) -> None:
    """Write every trajectory with the history of its death by each endpoint, and the table of deaths."""
    lives, measured = read_tables(lifetimes, LIFETIMES), read_tables(prefixes, PREFIXES)
    histories = pl.concat(
        death_histories(own, measured, settings.significance)
        for own in lives.partition_by("endpoint", maintain_order=True)
    )
    table = deaths_table(histories)
    write_table(histories, deaths, DEATH_HISTORIES)
    write_csv(table, csv, DEATHS)
    write_html(table, html, DEATHS, caption)
