"""The table of deaths: by what broke, and by the KL before them."""

import polars as pl

from steerdose.columns import METHOD
from steerdose.declarations.deaths import DEATHS
from steerdose.declarations.passed import DEATH_HISTORIES, LIFETIMES, PREFIXES
from steerdose.files import read_tables, write_csv, write_table
from steerdose.study.published import TabulateDeaths
from steerdose.survival.histories import HISTORIES, death_histories
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
    """Write every trajectory with the history of its death, and the table of deaths."""
    lives, measured = read_tables(lifetimes, LIFETIMES), read_tables(prefixes, PREFIXES)
    histories = death_histories(lives, measured, settings.significance)
    table = deaths_table(histories)
    write_table(histories, deaths, DEATH_HISTORIES)
    write_csv(table, csv, DEATHS)
    write_html(table, html, DEATHS, caption)


def deaths_table(deaths: pl.DataFrame) -> pl.DataFrame:
    """Return a row a method and dose: n, died, the deaths by damage and by history, median t and KL.

    deaths: as `death_histories` returns them.
    """
    died, damage = pl.col("died"), pl.col("damage")
    kinds = {"readout": damage == "readout", "text": damage == "text", "not_read": damage.is_null()}
    return deaths.group_by(*METHOD, "alpha", maintain_order=True).agg(
        pl.len().alias("n"),
        died.sum(),
        *[(died & is_kind).sum().alias(name) for name, is_kind in kinds.items()],
        *[(pl.col("history") == name).sum().alias(name.replace(" ", "_")) for name in HISTORIES],
        pl.col("duration").filter("died").median().alias("median_t"),
        pl.col("kl").filter("died").median().alias("kl_at_death"),
        pl.col("kl").filter(~died).median().alias("kl_alive"),
    )
