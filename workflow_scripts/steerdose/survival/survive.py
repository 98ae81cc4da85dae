"""A method's survival by every endpoint of the study: lifetimes, curves, summaries, prevalence."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from steerdose.columns import COHORT, SIGNS
from steerdose.declarations.passed import (
    CURVE,
    FORKS,
    LIFETIMES,
    PREVALENCE,
    SUMMARIES,
    TOKENS,
    TRAJECTORIES,
)
from steerdose.engine.fork_grid import fork_times
from steerdose.files import read_json, read_table, write_table
from steerdose.study.endpoints import AnswerEndpoint, FirstDipEndpoint
from steerdose.study.settings import KaplanMeier
from steerdose.survival.endpoints import Limits
from steerdose.survival.kaplan_meier import estimate_survival
from steerdose.survival.lifetimes import lifetimes as find_lifetimes
from steerdose.survival.lifetimes import with_damage


def kaplan_meier(
    *,
    tokens: str,
    forks: str,
    trajectories: str,
    threshold: str,
    bands: str,
    search: list[str],
    method: str,
    settings: KaplanMeier,
    lifetimes: str,
    curve: str,
    summary: str,
    prevalence: str,
) -> None:
    """Write the lifetimes of a method's trajectories by every endpoint, their curves, summaries and prevalence.

    The deciding endpoint, the first one, comes first in every file. search: table and summary of the search that the
    method's doses come from.
    """
    read, thresholds = deciding_first(read_table(forks, FORKS), settings.probe), read_json(threshold)
    written, text = read_table(trajectories, TRAJECTORIES), read_table(tokens, TOKENS)
    limits = limits_of(settings, thresholds, read_json(bands), read_json(search[1])[method])
    times = fork_times(settings.window, **settings.forks.model_dump())
    endpoints = {name: settings.endpoints[name] for name in settings.order}
    lives, states = find_lifetimes(written, text, read, endpoints, limits, times)
    probed = [name for name, each in endpoints.items() if isinstance(each, AnswerEndpoint | FirstDipEndpoint)]
    deciding = read.filter(probe=settings.probe)
    limit = thresholds[settings.probe]
    lives = with_damage(lives, deciding, probed, limit["threshold"], limit["splits"])
    curves, summaries = estimate(lives, times, settings.confidence)
    write_table(lives, lifetimes, LIFETIMES)
    write_table(curves, curve, CURVE)
    write_table(summaries, summary, SUMMARIES)
    write_table(states, prevalence, PREVALENCE)


def deciding_first(forks: pl.DataFrame, probe: str) -> pl.DataFrame:
    """Return forks with those of one probe first: rollouts have their probes in the order of the alphabet."""
    return forks.sort(pl.col("probe") != probe, maintain_order=True)


def limits_of(
    settings: KaplanMeier,
    thresholds: Mapping[str, Mapping[str, Any]],
    bands: Mapping[str, Mapping[str, Any]],
    found: Mapping[str, Any],
) -> dict[tuple[str, str], Limits]:
    """Return the limits of each endpoint and sign. thresholds: by probe; bands: by endpoint; found: of the search."""
    levels = {name: float(each["threshold"]) for name, each in thresholds.items()}
    return {
        (name, sign): Limits(bands.get(name, {}).get("bands", {}), levels, settings.statistic, found[sign]["target"])
        for name in settings.endpoints
        for sign in SIGNS
    }


def estimate(lives: pl.DataFrame, forks: Sequence[int], confidence: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return curves and summaries of all endpoints, with the incidence of death where ending one's turn competes.

    The curve of an endpoint has the forks and its own times of death, which between forks are the same for all doses.
    """
    curves, summaries = [], []
    for (name,), own in lives.group_by("endpoint", maintain_order=True):
        times = sorted({*forks, *own.filter("died")["duration"]})
        curve, summary = estimate_survival(own, times, confidence)
        counts = own.group_by(COHORT).agg(pl.col("ended", "recovered").sum())
        summary = summary.join(counts, on=COHORT, how="left", nulls_equal=True, maintain_order="left")
        summary = summary.with_columns(endpoint=pl.lit(name), censored=pl.col("censored") - pl.col("ended"))
        curves.append(curve.with_columns(endpoint=pl.lit(name)))
        summaries.append(summary)
    return pl.concat(curves), pl.concat(summaries)
