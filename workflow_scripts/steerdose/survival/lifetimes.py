"""How long steered trajectories stay sound, by every endpoint of a study, and the intervals of their deaths."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from steerdose.columns import COHORT, KEYS, SIGNS, sign_of
from steerdose.errors import SteerdoseError
from steerdose.files import sequences
from steerdose.study.endpoints import Endpoint, FirstDipEndpoint, KlEndpoint, TextEndpoint
from steerdose.survival.endpoints import KINDS, Course, Limits, Readings, is_broken, life

# Of shares alive. lifelines multiplies through logarithms: 4 of 8 alive comes out as 0.5 + 1e-16, and a median is then
# never reached.
DECIMALS = 12

Types = dict[str, pl.DataType | type[pl.DataType]]
LIFE: Types = {"duration": pl.Int64, **dict.fromkeys(("died", "ended", "recovered"), pl.Boolean)}


def lifetimes(
    trajectories: pl.DataFrame,
    tokens: pl.DataFrame | None,
    forks: pl.DataFrame,
    endpoints: Mapping[str, Endpoint],
    limits: Mapping[tuple[str, str], Limits],
    grid: Sequence[int],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return what each endpoint makes of each trajectory: lifetimes and prevalence.

    trajectories: KEYS, n_tokens, ended. tokens: KEYS, t, token_id, nll, kl; None where endpoints read forks alone.
    forks: KEYS, probe, reading, t, pmass, is_answer, of the rolled-out probes, the deciding one first. limits: by
    endpoint and sign of alpha. grid: the forks in tokens, the last of which is the window.

    lifetimes, a row a trajectory and endpoint that is defined for it: KEYS, endpoint, duration, died, ended, recovered,
    see `Life`. prevalence, a row a cohort, endpoint and fork: COHORT, endpoint, t, n (trajectories that were still
    writing), broken (of these). Raises SteerdoseError for a pmass that is not finite and a trajectory without forks.
    """
    check_forks(forks, trajectories)
    rows = trajectories.select(*KEYS, "n_tokens", "ended")
    written = ("token_id", "nll", "kl")
    if tokens is None:
        rows = rows.with_columns(pl.lit(None).alias(name) for name in written)
    else:
        rows = rows.join(sequences(tokens, *written), on=KEYS, how="left", nulls_equal=True, maintain_order="left")
    probes, window, times = _readings(forks), int(grid[-1]), np.asarray(grid)
    lives: list[tuple[Any, ...]] = []
    states: list[tuple[Any, ...]] = []
    for *keys, n_tokens, ended, ids, nll, kl in rows.iter_rows():
        alpha = keys[KEYS.index("alpha")]
        course = Course(np.array(ids or []), np.array(nll or []), np.array(kl or []), probes[tuple(keys)])
        writing = times <= n_tokens
        for name, options in endpoints.items():
            stretches = KINDS[options.kind](course, options, limits[name, sign_of(alpha)])
            if stretches is None:
                continue
            found = life(stretches, n_tokens, ended, alpha != 0, window)
            lives.append((*keys, name, found.duration, found.died, found.ended, found.recovered))
            broken = is_broken(stretches, times) & writing
            states.append((*keys[: len(COHORT)], name, times.tolist(), writing.tolist(), broken.tolist()))
    types: Types = {**{name: rows.schema[name] for name in KEYS}, "endpoint": pl.String}
    many: Types = {"t": pl.List(pl.Int64), "n": pl.List(pl.Boolean), "broken": pl.List(pl.Boolean)}
    cohorts: Types = {name: types[name] for name in (*COHORT, "endpoint")}
    at_forks = pl.DataFrame(states, schema=cohorts | many, orient="row").explode("t", "n", "broken")
    prevalence = at_forks.group_by(*COHORT, "endpoint", "t", maintain_order=True).agg(pl.col("n", "broken").sum())
    return pl.DataFrame(lives, schema=types | LIFE, orient="row"), prevalence


def _readings(forks: pl.DataFrame) -> dict[tuple[Any, ...], dict[str, Readings]]:
    """Return the steered model's readings of each trajectory, by probe in the order of the forks."""
    found: dict[tuple[Any, ...], dict[str, Readings]] = {}
    grouped = forks.filter(reading="steered").group_by(*KEYS, "probe", maintain_order=True)
    for *keys, probe, t, pmass, is_answer in grouped.agg(pl.col("t", "pmass", "is_answer").sort_by("t")).iter_rows():
        found.setdefault(tuple(keys), {})[probe] = Readings(np.array(t), np.array(pmass), np.array(is_answer))
    return found


def with_damage(
    lives: pl.DataFrame, forks: pl.DataFrame, endpoints: Sequence[str], threshold: float, splits: bool
) -> pl.DataFrame:
    """Return lifetimes with `damage`: what broke where the steered model no longer answers the deciding probe.

    readout: the unsteered model still answers it behind the same tokens (pmass >= threshold). text: it does not either.
    forks: of the deciding probe. endpoints: those that are read from it. Null of all others, of who lives, where the
    unsteered model was not asked, and where garbage does not move the probe (splits is false): its answer then says
    nothing of the text behind which it stands.
    """
    unsteered = forks.filter(reading="unsteered")
    at, is_answered = pl.col("t").cast(pl.Int64), pl.col("pmass") >= threshold
    answers = unsteered.select(*KEYS, at.alias("duration"), is_answered.alias("answers"))
    joined = lives.join(answers, on=[*KEYS, "duration"], how="left", nulls_equal=True, maintain_order="left")
    by_probe = pl.col("died") & pl.lit(splits) & pl.col("endpoint").is_in(list(endpoints))
    damage = pl.when(by_probe & pl.col("answers")).then(pl.lit("readout")).when(by_probe & ~pl.col("answers"))
    return joined.with_columns(damage=damage.then(pl.lit("text"))).drop("answers")


def dips(trajectories: pl.DataFrame, forks: pl.DataFrame, threshold: float, grid: Sequence[int]) -> pl.DataFrame:
    """Return lifetimes by the endpoint first_dip of one probe, whose forks these are, at a threshold of pmass."""
    thresholds = dict.fromkeys(forks["probe"].unique(), threshold)
    limits = {("first_dip", sign): Limits({}, thresholds, "mean", None) for sign in SIGNS}
    return lifetimes(trajectories, None, forks, {"first_dip": FirstDipEndpoint(kind="first_dip")}, limits, grid)[0]


def check_forks(forks: pl.DataFrame, trajectories: pl.DataFrame) -> None:
    """Raise SteerdoseError for a pmass that is not finite, a fork that is read twice, a trajectory without any fork."""
    broken = forks.filter(pl.col("pmass").is_null() | ~pl.col("pmass").is_finite())
    if not broken.is_empty():
        raise SteerdoseError(
            f"forks: expected a finite pmass everywhere, found {broken.height} that are not, the first "
            f"{broken['pmass'][0]} at {_place(broken)}, t {broken['t'][0]}; rerun that rollout and read its log"
        )
    steered = forks.filter(reading="steered")
    if steered.select(*KEYS, "probe", "t").is_duplicated().any():
        raise SteerdoseError("forks: expected one reading of a probe at a fork, found several; rerun that rollout")
    unread = trajectories.join(steered, on=KEYS, how="anti", nulls_equal=True)
    if not unread.is_empty():
        raise SteerdoseError(
            f"forks: expected at least one fork of every trajectory, found none for {unread.height} of "
            f"{trajectories.height}, the first at {_place(unread)}; forks and trajectories must come from one rollout"
        )


def grid_of(options: Endpoint, forks: Sequence[int]) -> list[int]:
    """Return the tokens at which an endpoint can happen: every one for texts and KL, the forks for probes."""
    return list(range(forks[-1] + 1)) if isinstance(options, TextEndpoint | KlEndpoint) else list(forks)


def death_intervals(lifetimes: pl.DataFrame, times: Sequence[int]) -> pl.DataFrame:
    """Return the lifetimes with `after` and `until` (tokens): the trajectory's death lies in (after, until].

    A death is seen at a time of the grid only, so it came after the one before; at 0 it came before any token, and
    after is -1. A trajectory that did not die was last seen sound at the last time before its end, which is `after`;
    until is infinite. What it wrote after that was not looked at, so its end says nothing about when it died.

    times: the endpoint's grid in tokens, see `grid_of`. Raises SteerdoseError for a grid that does not increase, or a
    lifetime that is not on it.
    """
    grid = np.asarray(times, dtype=np.int64)
    check_grid(lifetimes, grid)
    duration, died = lifetimes["duration"].to_numpy(), lifetimes["died"].to_numpy()
    last_fork = np.searchsorted(grid, duration, side="right")  # counted from 1, since -1 stands before the grid
    after = np.concatenate([[-1], grid])[last_fork - died]
    return lifetimes.with_columns(
        pl.Series("after", after, dtype=pl.Float64),
        pl.Series("until", np.where(died, duration, np.inf), dtype=pl.Float64),
    )


def check_grid(lifetimes: pl.DataFrame, grid: np.ndarray) -> None:
    """Raise SteerdoseError for no lifetimes, a grid (tokens) that does not increase, or lifetimes that are off it."""
    if lifetimes.is_empty():
        raise SteerdoseError("lifetimes: expected at least one trajectory, found none; check the rollout's prompts")
    if grid.size == 0 or np.any(np.diff(grid) <= 0):
        raise SteerdoseError(f"times: expected a fork grid that increases up to the window, found {grid.tolist()}")
    between_forks = pl.col("died") & ~pl.col("duration").is_in(grid.tolist())
    misfits = lifetimes.filter(between_forks | ~pl.col("duration").is_between(int(grid[0]), int(grid[-1])))
    if not misfits.is_empty():
        raise SteerdoseError(
            f"times: expected deaths at forks and censorings from {grid[0]} to {grid[-1]}, found {misfits.height} "
            f"other lifetimes, the first of {misfits['duration'][0]} tokens at {_place(misfits)}; pass its fork grid"
        )


def _place(rows: pl.DataFrame) -> str:
    """Name the trajectory of the first row."""
    row = rows.row(0, named=True)
    return f"method {row['method']}, prompt {row['prompt_id']}, alpha {row['alpha']}"
