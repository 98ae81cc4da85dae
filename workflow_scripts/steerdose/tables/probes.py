"""The instrument's table: every configured probe on the unsteered model, and the deaths that each probe sees."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from steerdose.columns import KEYS
from steerdose.declarations.methods import PROBES
from steerdose.declarations.passed import FORKS, TRAJECTORIES
from steerdose.engine.fork_grid import fork_times
from steerdose.files import read_json, read_tables, write_csv, write_table
from steerdose.study.published import TabulateProbes
from steerdose.survival.lifetimes import dips, with_damage
from steerdose.tables.publish import write_html

Found = Mapping[str, Mapping[str, Any]]  # by probe


def tabulate_probes(
    *,
    audits: list[str],
    others: list[str],
    thresholds: list[str],
    forks: list[str],
    trajectories: list[str],
    settings: TabulateProbes,
    caption: str,
    table: str,
    csv: str,
    html: str,
) -> None:
    """Write every probe of every model, with the deaths that it sees.

    audits, thresholds: a file a model, of the probes that are read in rollouts. others: a file a model, of the probes
    that are audited only; empty where there are none.
    """
    read, written = read_tables(forks, FORKS), read_tables(trajectories, TRAJECTORIES)
    unread = map(read_json, others) if others else [{}] * len(audits)
    audited = [read_json(path) | found for path, found in zip(audits, unread, strict=True)]
    found = probes_table(audited, list(map(read_json, thresholds)), read, written, settings)
    write_table(found, table, PROBES)
    write_csv(found, csv, PROBES)
    write_html(found, html, PROBES, caption, n_names=2)


def deaths_by_probe(lives: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return a row a probe: trajectories, died, readout, text, and agreement with every probe.

    lives: lifetimes of the same trajectories by each probe. readout, text: deaths by `damage`. same_fork_x: of the
    trajectories that die by this probe or by x, the share that die by both at the same fork; null where none dies.
    """
    rows = []
    for name, own in lives.items():
        row = {"probe": name, "trajectories": own.height, "died": own["died"].sum()}
        row |= {damage: own.filter(damage=damage).height for damage in ("readout", "text")}
        for other, theirs in lives.items():
            pairs = own.select(*KEYS, "died", "duration").join(theirs, on=KEYS, nulls_equal=True, suffix="_other")
            dead = pairs.filter(pl.col("died") | pl.col("died_other"))
            both = pl.col("died") & pl.col("died_other") & (pl.col("duration") == pl.col("duration_other"))
            row[f"same_fork_{other}"] = dead.select(both.mean()).item()
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)


def probes_table(
    audits: Sequence[Found],
    thresholds: Sequence[Found],
    forks: pl.DataFrame,
    trajectories: pl.DataFrame,
    settings: TabulateProbes,
) -> pl.DataFrame:
    """Return a row a model and probe: the columns of its audit, its threshold, and `deaths_by_probe` where it is read.

    audits, thresholds: of each model. forks, trajectories: of all rollouts. The probes that are read in rollouts come
    first. passes: the median reaches the least that a probe needs; decides: the first probe. Unsteered trajectories
    (alpha 0) are left out of the deaths.
    """
    read, written = (frame.filter(pl.col("alpha") != 0) for frame in (forks, trajectories))
    probes, tables = settings.probes, []
    times = fork_times(settings.window, **settings.forks.model_dump())
    for model, audit, threshold in zip(settings.models, audits, thresholds, strict=True):
        rows: list[dict[str, Any]] = [
            {
                "model": model,
                "probe": name,
                **{column: value for column, value in audit[name].items() if column != "likely"},
                "passes": audit[name]["median_pmass"] >= settings.minimum_base_pmass,
                "rolled_out": name in probes,
                "decides": name == probes[0],
                "threshold": threshold.get(name, {}).get("threshold"),
            }
            for name in [*probes, *(name for name in audit if name not in probes)]
        ]
        lives = {}
        for name in probes:
            own = read.filter(model=model, probe=name)
            limit, splits = threshold[name]["threshold"], threshold[name]["splits"]
            died = dips(written.filter(model=model), own, limit, times)
            lives[name] = with_damage(died, own, ("first_dip",), limit, splits)
        frame = pl.DataFrame(rows, infer_schema_length=None)
        tables.append(frame.join(deaths_by_probe(lives), on="probe", how="left", maintain_order="left"))
    return pl.concat(tables)
