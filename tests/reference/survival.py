"""Kaplan-Meier as the textbook's table computes it, exact in fractions, one time after the other."""

from fractions import Fraction


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
