"""The table of survival."""

import polars as pl

from steerdose.declarations.passed import SUMMARIES
from steerdose.declarations.survival import SURVIVAL
from steerdose.files import read_tables, write_csv
from steerdose.tables.publish import write_html


def tabulate_survival(*, summaries: list[str], caption: str, csv: str, html: str) -> None:
    """Write what became of the trajectories of every method and dose, by every endpoint."""
    table = read_tables(summaries, SUMMARIES)
    write_csv(table, csv, SURVIVAL)
    write_html(survival_texts(table), html, SURVIVAL, caption, n_names=6)


def survival_texts(summary: pl.DataFrame) -> pl.DataFrame:
    """Return `estimate_survival`'s summary as readers see it: three digits, median and mean with intervals."""
    low, median, high = (
        pl.col(name).cast(pl.String).fill_null("not reached") for name in ("median_low", "median_t", "median_high")
    )
    return summary.select(
        *("model", "behavior", "seed", "method", "alpha", "endpoint", "n", "died", "ended", "censored", "recovered"),
        pl.format("{} [{}, {}]", *[_fixed(f"incidence{bound}", 3) for bound in ("", "_low", "_high")]).alias("dead"),
        *[_fixed(name, 3).alias(f"S({name[2:]})") for name in ("s_mid", "s_end")],
        pl.format("{} [{}, {}]", median, low, high).alias("median t"),
        pl.format("{} [{}, {}]", *[_fixed(name, 1) for name in ("rmst", "rmst_low", "rmst_high")]).alias("mean t"),
    )


def _fixed(name: str, digits: int) -> pl.Expr:
    return pl.col(name).map_elements(f"{{:.{digits}f}}".format, pl.String)
