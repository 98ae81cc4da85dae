"""The table of the threshold sweep: lethal doses at many thresholds of death."""

import polars as pl

from steerdose.columns import CELL
from steerdose.declarations.passed import FORKS, THRESHOLD_SHARES, TRAJECTORIES
from steerdose.declarations.survival import THRESHOLD_SWEEP
from steerdose.engine.fork_grid import fork_times
from steerdose.files import read_json, read_tables, write_csv, write_table
from steerdose.study.published import TabulateThresholdSweep
from steerdose.survival.dose_response import CURVE, dose_text
from steerdose.survival.threshold_sweep import threshold_sweep
from steerdose.tables.publish import write_html

UNSTEERED, ORDER = "unsteered, share dead", "order against the set threshold, Kendall's tau"


def tabulate_threshold_sweep(
    *,
    forks: list[str],
    trajectories: list[str],
    thresholds: list[str],
    settings: TabulateThresholdSweep,
    caption: str,
    shares: str,
    table: str,
    csv: str,
    html: str,
) -> None:
    """Write who is dead at which dose and threshold, and the lethal doses that follow; thresholds: a file a model."""
    probe, models = settings.probe, zip(settings.models, thresholds, strict=True)
    dead, doses = threshold_sweep(
        read_tables(forks, FORKS).filter(probe=probe, reading="steered"),
        read_tables(trajectories, TRAJECTORIES),
        {model: read_json(path)[probe]["median_pmass"] for model, path in models},
        kind=settings.threshold.kind,
        value=settings.threshold.value,
        values=settings.values,
        times=fork_times(settings.window, **settings.forks.model_dump()),
        confidence=settings.confidence,
        safe_level=settings.safe_level,
    )
    write_table(dead, shares, THRESHOLD_SHARES)
    write_table(doses, table, THRESHOLD_SWEEP)
    write_csv(doses, csv, THRESHOLD_SWEEP)
    write_html(sweep_texts(doses), html, THRESHOLD_SWEEP, caption, n_names=5)


def sweep_texts(doses: pl.DataFrame) -> pl.DataFrame:
    """Return the doses of `threshold_sweep` as readers see them: a row a method and sign, a column a threshold.

    Below the methods of a cell stand the share of unsteered trajectories dead and the agreement in order, a sign each.
    """
    names = [*CURVE, "name", "text"]
    words = [dose_text(row) for row in doses.iter_rows(named=True)]
    mark = pl.when("configured").then(pl.format("{} (set)", "value")).otherwise(pl.col("value").cast(pl.String))
    doses = doses.with_columns(mark.alias("name"), pl.Series("text", words, pl.String))
    rows = []
    for cell in doses.partition_by(CELL, maintain_order=True):
        floor = cell.unique([*CELL, "value"], maintain_order=True).with_columns(
            method=pl.lit(UNSTEERED), sign=pl.lit(""), text=_digits("unsteered_dead")
        )
        order = cell.unique([*CELL, "value", "sign"], maintain_order=True).with_columns(
            method=pl.lit(ORDER), text=_digits("tau")
        )
        rows += [part.select(names) for part in (cell, floor, order)]
    long = pl.concat(rows) if rows else doses.select(names)
    return long.pivot("name", index=CURVE, values="text")


def _digits(column: str) -> pl.Expr:
    return pl.col(column).map_elements("{:.2f}".format, pl.String).fill_null("")
