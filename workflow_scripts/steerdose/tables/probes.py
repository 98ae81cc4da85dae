"""The instrument's table: every configured probe on the unsteered model, and the deaths that each probe sees."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from steerdose.files import KEYS, read_json, read_tables
from steerdose.survival.lifetimes import lifetimes

PROBES_CAPTION = (
    "The probes on the unsteered model, over all questions and forks. pmass: next-token mass on the two answers: "
    "median, minimum, quantiles, and median at fork 0. argmax share: forks whose most likely next token is an answer. "
    "accuracy: forks where the answer leans to the truth (1/2: the probe says whether the model can answer, not "
    "whether it is right). passes: the median reaches survival.minimum_base_pmass. decides: sets the lifetimes. The "
    "rest is about steered trajectories, for probes that are read in rollouts, each with its own threshold: died, and "
    "of these the damage, of the readout (the unsteered model could still answer behind the same text) or of the text. "
    "same fork: of the trajectories that die by this probe or by the named one, the share that die by both, at the "
    "same fork."
)


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
    models: Sequence[str],
    audits: Sequence[str],
    thresholds: Sequence[str],
    forks: Sequence[str],
    trajectories: Sequence[str],
    probes: Sequence[str],
    window: int,
) -> pl.DataFrame:
    """Return a row a model and probe: the columns of its audit, its threshold, and `deaths_by_probe` where it is read.

    audits, thresholds: paths of each model's files. forks, trajectories: paths of all rollouts. probes: those that are
    read in rollouts, which come first. Unsteered trajectories (alpha 0) are left out of the deaths.
    """
    read, written = (read_tables(list(paths)).filter(pl.col("alpha") != 0) for paths in (forks, trajectories))
    tables = []
    for model, audit, threshold in zip(models, map(read_json, audits), map(read_json, thresholds), strict=True):
        found: list[dict[str, Any]] = [
            {"model": model, "probe": name, **audit[name], "threshold": threshold.get(name, {}).get("threshold")}
            for name in [*probes, *(name for name in audit if name not in probes)]
        ]
        lives = {
            name: lifetimes(
                read.filter(model=model, probe=name), written.filter(model=model), threshold[name]["threshold"], window
            )
            for name in probes
        }
        frame = pl.DataFrame(found, infer_schema_length=None)
        tables.append(frame.join(deaths_by_probe(lives), on="probe", how="left", maintain_order="left"))
    return pl.concat(tables)
