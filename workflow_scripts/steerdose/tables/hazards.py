"""The table of hazards."""

from steerdose.columns import deciding
from steerdose.declarations.passed import LIFETIMES
from steerdose.declarations.survival import HAZARDS
from steerdose.engine.fork_grid import fork_times
from steerdose.files import read_tables, write_csv
from steerdose.study.published import TabulateHazards
from steerdose.survival.hazards import hazard_table
from steerdose.survival.lifetimes import grid_of
from steerdose.tables.publish import write_html


def tabulate_hazards(*, lifetimes: list[str], settings: TabulateHazards, caption: str, csv: str, html: str) -> None:
    """Write how the hazard of death depends on dose and method."""
    times = grid_of(settings.endpoint, fork_times(settings.window, **settings.forks.model_dump()))
    table = hazard_table(read_tables(lifetimes, LIFETIMES).filter(deciding()), times, settings.confidence)
    write_csv(table, csv, HAZARDS)
    write_html(table, html, HAZARDS, caption, n_names=8)
