"""Which methods a figure shows where an entry of the config stands for more of them than have a place."""

from collections.abc import Callable, Iterable, Sequence
from math import ceil

import numpy as np
import polars as pl

from steerdose.columns import CELL, METHOD
from steerdose.study.published import Panels

EVERY = Panels(members={}, most=1)  # no entry stands for many: all methods are shown
FEWEST = 2  # members of an entry: the first and the last


def places(panels: Panels) -> dict[str, int]:
    """Return the number of places of every entry that has more members than that.

    Methods that stand alone have their places first and are never left out. The entries of many share what remains of
    `most` evenly, and have `FEWEST` places at least.
    """
    sizes = {entry: len(names) for entry, names in panels.members.items()}
    many = sorted((entry for entry in sizes if sizes[entry] > 1), key=lambda entry: (sizes[entry], entry))
    room, found = panels.most - (len(sizes) - len(many)), {}
    for i, entry in enumerate(many):
        share = min(sizes[entry], max(FEWEST, room // (len(many) - i)))
        room -= share
        if share < sizes[entry]:
            found[entry] = share
    return found


def spread(panels: Panels) -> frozenset[str]:
    """Return the methods to leave out: of every entry evenly spaced members stay, the first and the last among them."""
    hidden: set[str] = set()
    for entry, count in places(panels).items():
        names = panels.members[entry]
        kept = np.linspace(0, len(names) - 1, count).round().astype(int)
        hidden |= set(names) - {names[i] for i in kept}
    return frozenset(hidden)


def evenly(frame: pl.DataFrame, panels: Panels) -> pl.DataFrame:
    """Return the rows of the methods that `spread` leaves."""
    return _without(frame, pl.DataFrame({"method": sorted(spread(panels))}, {"method": pl.String}))


def extremes(
    frames: Iterable[pl.DataFrame], table: pl.DataFrame, rank: Callable[[pl.DataFrame], Sequence[str]], panels: Panels
) -> list[pl.DataFrame]:
    """Return the rows of the methods that stand alone, and of the first and last ranked members of every entry.

    rank: gives the methods of the rows of one cell of `table` in order. Each cell has its own choice.
    """
    hidden = []
    for cell in table.partition_by(CELL, maintain_order=True):
        order = rank(cell)
        for entry, count in places(panels).items():
            members = set(panels.members[entry])
            ranked = [method for method in order if method in members]
            left_out = ranked[ceil(count / 2) : max(len(ranked) - count // 2, ceil(count / 2))]
            hidden += [(*cell.select(CELL).row(0), method) for method in left_out]
    left = pl.DataFrame(hidden, table.select(METHOD).schema, orient="row")
    return [_without(frame, left) for frame in frames]


def _without(frame: pl.DataFrame, hidden: pl.DataFrame) -> pl.DataFrame:
    return frame.join(hidden, on=hidden.columns, how="anti", maintain_order="left") if len(hidden) else frame


def note(panels: Panels, table: str, which: str = "evenly spaced") -> str:
    """Return which members are shown, in words, with the published table that has all; empty where all are shown."""
    parts = [f"{count} of {len(panels.members[entry])} {entry}" for entry, count in places(panels).items()]
    return f"Shown: {', '.join(parts)} ({which}); all in results/tables/{table}.csv" if parts else ""
