"""Rollouts whose doses are placed in turn: all questions at one dose, then at the one that these deaths ask for."""

import logging
from collections.abc import Mapping
from typing import Any

import polars as pl

from steerdose.columns import Cell
from steerdose.design.place import Known, next_dose
from steerdose.dose.doses import doses_table
from steerdose.dose.subjects import interventions
from steerdose.engine.fork_grid import fork_times
from steerdose.files import read_json
from steerdose.outcomes.trajectories import Rolling
from steerdose.study.published import DesignRollouts
from steerdose.survival.dose_response import dose_response
from steerdose.survival.lifetimes import lifetimes
from steerdose.survival.survive import deciding_first, estimate, limits_of

log = logging.getLogger(__name__)


def design_rollouts(
    *,
    model: str,
    steering: list[str],
    doses: list[str],
    questions: str,
    threshold: str,
    bands: str,
    cell: Cell,
    settings: DesignRollouts,
    rolled_by: str,
    tokens: str,
    trajectories: str,
    forks: str,
) -> None:
    """Roll every method of a job out at alpha 0 and at doses that `next_dose` places, and write the three tables.

    The tables are written after every new dose, so that a job that is stopped goes on where it was. rolled_by: digest
    of the code that rolls out; what says who is dead may change without another trajectory. doses: the summary of
    the search that the methods' doses come from. Only positive alphas are tried.
    """
    files = {"tokens": tokens, "trajectories": trajectories, "forks": forks}
    rolling, found = Rolling(model, questions, cell, settings, rolled_by, files), read_json(doses[0])
    chosen, design = rolling.questions[: settings.trajectories.n_questions], settings.design
    of_doses = doses_table(found, cell)
    for name, subject in settings.methods.items():
        limits = limits_of(settings.survival, read_json(threshold), read_json(bands), found[name])
        known = Known({}, None, None)
        while len(known.dead) < design.most:
            dose = next_dose(known, design.lowest, design.highest, design.ratio)
            if dose is None:
                break
            alphas = [dose] if known.dead else [0.0, dose]
            rolling.ask(name, interventions(name, subject, alphas, steering, doses, {}), chosen, 1)
            known = what_is_known(rolling.write(last=False), name, settings, limits, of_doses)
            log.info("%s: dead by dose %s, LD50 within %s to %s", name, known.dead, known.low, known.high)
    rolling.write()


def what_is_known(
    tables: Mapping[str, pl.DataFrame], method: str, settings: DesignRollouts, limits: Any, doses: pl.DataFrame
) -> Known:
    """Return what the trajectories of a method say of its lethal dose, by the deciding endpoint.

    tables: tokens, trajectories and forks. limits: of the endpoint, by its name and sign. doses: of the job's methods.
    """
    own = {name: frame.filter(method=method) for name, frame in tables.items()}
    survival = settings.survival
    times = fork_times(survival.window, **survival.forks.model_dump())
    read = deciding_first(own["forks"], survival.probe)
    lives, _ = lifetimes(own["trajectories"], own["tokens"], read, survival.endpoints, limits, times)
    curve, _ = estimate(lives, times, survival.confidence)
    shares, lethal = dose_response(curve, lives, doses, confidence=survival.confidence, safe_level=0.5)
    dead = dict(shares.filter(pl.col("alpha") > 0).select("dose", "dead").iter_rows())
    row = lethal.row(0, named=True)
    return Known(dead, row["ld50_low"], row["ld50_high"])
