"""Kaplan-Meier as the textbook's table computes it, exact in fractions; and Turnbull's estimate by plain EM."""

from fractions import Fraction

import numpy as np


def product_limit(durations, died, times):
    """Return a list of (at_risk, events, survival) at `times`; deaths precede censorings of the same time."""
    rows, survival = [], Fraction(1)
    for time in times:
        at_risk = sum(1 for duration in durations if duration >= time)
        events = sum(1 for duration, dead in zip(durations, died, strict=True) if dead and duration == time)
        if at_risk:
            survival *= 1 - Fraction(events, at_risk)
        rows.append((at_risk, events, survival))
    return rows


def restricted_mean(durations, died, times):
    """Return the area under the step curve from 0 to the last of `times`."""
    area, before, survival = Fraction(0), 0, Fraction(1)
    for time, row in zip(times, product_limit(durations, died, times), strict=True):
        area += survival * (time - before)
        before, survival = time, row[2]
    return area


def turnbull(intervals, times, steps=5000):
    """Return a list of (low, high) at `times`: Turnbull's estimate from intervals (after, until], by plain EM.

    low: the mass that surely lies after the time; high: the mass that may lie at it or after it.
    """
    ends = sorted({end for interval in intervals for end in interval})
    after, until = np.array(ends[:-1]), np.array(ends[1:])  # the cells between neighbouring ends
    within = np.array([(after >= low) & (until <= high) for low, high in intervals], dtype=float)
    mass = np.full(len(after), 1 / len(after))
    for _ in range(steps):
        shares = within * mass
        mass = (shares / shares.sum(axis=1, keepdims=True)).mean(axis=0)
    return [(mass[after >= t].sum(), mass[until >= t].sum()) for t in times]
