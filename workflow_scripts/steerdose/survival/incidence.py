"""Cumulative incidence: of all trajectories, the share that has died, or ended its turn, by a time.

A trajectory is watched until it dies, ends its turn, or reaches the window, and nothing else takes it out of sight. So
Aalen and Johansen's (1978) estimate is the plain share, at every time up to the window, and its interval can be exact.
"""

from collections.abc import Sequence

import polars as pl

from steerdose.columns import COHORT
from steerdose.outcomes.shares import share_interval


def incidence(lives: pl.DataFrame, times: Sequence[int], confidence: float) -> pl.DataFrame:
    """Return a row a cohort and time: COHORT, t, incidence, incidence_low, incidence_high, ended.

    lives: as `lifetimes` returns them, of one endpoint. incidence: of death, with the interval of `share_interval`;
    ended: cumulative incidence of the end of turn, unbroken.
    """
    rows = []
    for keys, cohort in lives.group_by(COHORT, maintain_order=True):
        died, ended, duration, prompt = (cohort[name].to_numpy() for name in ("died", "ended", "duration", "prompt_id"))
        known: dict[int, tuple[float, float]] = {}  # by count: most times add nobody, and an interval takes a while
        for t in times:
            dead = died & (duration <= t)
            count = int(dead.sum())
            known[count] = known.get(count) or share_interval(dead, prompt, confidence)
            rows.append((*keys, t, float(dead.mean()), *known[count], float((ended & (duration <= t)).mean())))
    names = ("incidence", "incidence_low", "incidence_high", "ended")
    types = {name: lives.schema[name] for name in COHORT} | {"t": pl.Int64} | dict.fromkeys(names, pl.Float64)
    return pl.DataFrame(rows, schema=types, orient="row")
