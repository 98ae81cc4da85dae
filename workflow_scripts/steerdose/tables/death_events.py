"""The tables of death events: how many trajectories each way of calling them dead counts, and how far these agree."""

import polars as pl

from steerdose.columns import METHOD
from steerdose.declarations.deaths import DEATH_AGREEMENT, DEATH_EVENTS
from steerdose.declarations.passed import CALIBRATION, LIFETIMES, PREFIXES
from steerdose.files import read_tables, write_csv
from steerdose.study.published import TabulateDeathEvents
from steerdose.survival.death_events import EVENTS, death_events, event_agreement
from steerdose.tables.publish import write_html


def tabulate_death_events(
    *,
    lifetimes: list[str],
    prefixes: list[str],
    calibrations: list[str],
    settings: TabulateDeathEvents,
    caption: str,
    agreement_caption: str,
    csv: str,
    html: str,
    agreement_csv: str,
    agreement_html: str,
) -> None:
    """Write the counts of all death events, and the agreement of each two of them."""
    events = death_events(
        read_tables(prefixes, PREFIXES),
        read_tables(lifetimes, LIFETIMES),
        read_tables(calibrations, CALIBRATION),
        settings.quantile,
        settings.kl_multiple,
    )
    counts, agreement = event_counts(events), event_agreement(events, settings.confidence)
    write_csv(counts, csv, DEATH_EVENTS)
    write_html(counts, html, DEATH_EVENTS, caption)
    write_csv(agreement, agreement_csv, DEATH_AGREEMENT)
    write_html(agreement, agreement_html, DEATH_AGREEMENT, agreement_caption, n_names=6)


def event_counts(events: pl.DataFrame) -> pl.DataFrame:
    """Return a row a method and dose: n, and how many trajectories have each event (null: not defined there)."""
    dose = [*METHOD, "alpha"]
    counts = [
        pl.when((pl.col("event") == name).any()).then(pl.col("t").filter(event=name).count()).alias(name)
        for name in EVENTS
    ]
    return events.group_by(dose, maintain_order=True).agg(pl.n_unique("prompt_id").alias("n"), *counts)
