"""How long steered trajectories can still answer: lifetimes and the intervals of deaths, read at forks."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from steerdose.columns import KEYS
from steerdose.errors import SteerdoseError

# Of shares alive. lifelines multiplies through logarithms: 4 of 8 alive comes out as 0.5 + 1e-16, and a median is then
# never reached.
DECIMALS = 12


def lifetimes(forks: pl.DataFrame, trajectories: pl.DataFrame, threshold: float, window: int) -> pl.DataFrame:
    """Return one row a trajectory: its keys, duration (tokens), died, ended (end-of-turn before the window), damage.

    forks: keys, reading, t, pmass, of one probe. trajectories: keys, n_tokens, ended. A trajectory dies at its first
    fork (t <= window) that the steered model reads with pmass < threshold, and stays dead. An intervention (alpha other
    than 0) under which the model ends its turn without a token is a death at fork 0, whatever the probe reads there.
    Otherwise it is censored: at n_tokens if it ended, at the window if it did not. damage says what broke: `readout`
    where the unsteered model can answer behind the same tokens (pmass >= threshold), `text` where it cannot, or where
    there is no text; null while alive, and where it was not asked.

    Raises SteerdoseError for a window below 1, a pmass that is not finite, a trajectory without any fork, and forks of
    several probes.
    """
    if window < 1:
        raise SteerdoseError(f"window: expected at least 1 token, found {window}; raise it in the config")
    broken = forks.filter(pl.col("pmass").is_null() | ~pl.col("pmass").is_finite())
    if not broken.is_empty():
        raise SteerdoseError(
            f"forks: expected a finite pmass everywhere, found {broken.height} that are not, the first "
            f"{broken['pmass'][0]} at {_place(broken)}, t {broken['t'][0]}; rerun that rollout and read its log"
        )
    steered, unsteered = (forks.filter(reading=reading) for reading in ("steered", "unsteered"))
    if steered.select(*KEYS, "t").is_duplicated().any():
        raise SteerdoseError(
            "forks: expected the forks of one probe, found several readings of one fork; filter by probe"
        )
    unread = trajectories.join(steered, on=KEYS, how="anti", nulls_equal=True)
    if not unread.is_empty():
        raise SteerdoseError(
            f"forks: expected at least one fork of every trajectory, found none for {unread.height} of "
            f"{trajectories.height}, the first at {_place(unread)}; forks and trajectories must come from one rollout"
        )
    in_window = steered.filter((pl.col("pmass") < threshold) & (pl.col("t") <= window))
    deaths = in_window.group_by(KEYS).agg(pl.col("t").min().alias("death"))
    read = unsteered.select(*KEYS, pl.col("t").alias("death"), (pl.col("pmass") >= threshold).alias("answers"))
    deaths = deaths.join(read, on=[*KEYS, "death"], how="left", nulls_equal=True)
    censoring = pl.when("ended").then(pl.min_horizontal("n_tokens", pl.lit(window))).otherwise(window)
    joined = trajectories.join(deaths, on=KEYS, how="left", nulls_equal=True, maintain_order="left")
    empty = pl.col("ended") & (pl.col("n_tokens") == 0) & (pl.col("alpha") != 0)
    answers = pl.when(empty).then(False).otherwise("answers")
    return joined.with_columns(death=pl.when(empty).then(0).otherwise("death")).select(
        *KEYS,
        pl.coalesce("death", censoring).cast(pl.Int64).alias("duration"),
        pl.col("death").is_not_null().alias("died"),
        "ended",
        pl.when(answers).then(pl.lit("readout")).when(~answers).then(pl.lit("text")).alias("damage"),
    )


def death_intervals(lifetimes: pl.DataFrame, times: Sequence[int]) -> pl.DataFrame:
    """Return the lifetimes with `after` and `until` (tokens): the trajectory's death lies in (after, until].

    A death is seen at a fork only, so it came after the fork before; at fork 0 it came before any token, and after is
    -1. A censored trajectory was last read alive at its last fork, which is `after`; until is infinite. What it wrote
    between that fork and its end was not read, so its end says nothing about when it died.

    times: the fork grid in tokens. Raises SteerdoseError for a grid that does not increase, or a lifetime off the grid.
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
