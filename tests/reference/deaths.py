"""Death events and histories, one trajectory after the other. Trajectories are dicts with `measures` by fork."""

import math
from statistics import median

from .kl_history import percentile


def event(trajectory, unsteered, measure, direction, quantile):
    """Return the fork at which a text leaves the band of the unsteered texts, or None."""
    forks = sorted({t for other in unsteered for t in other["measures"] if _value(other, t, measure) is not None})
    centre = {
        t: median(direction * v for other in unsteered if (v := _value(other, t, measure)) is not None) for t in forks
    }
    worst = []
    for other in unsteered:
        excess = [direction * v - centre[t] for t in forks if (v := _value(other, t, measure)) is not None]
        worst += [max(excess)] if excess else []
    band = percentile(worst, quantile)
    for t in sorted(trajectory["measures"]):
        value, known = _value(trajectory, t, measure), [u for u in forks if u <= t]
        if value is not None and known and direction * value - centre[known[-1]] > band:
            return t
    return None


def _value(trajectory, t, measure):
    return trajectory["measures"].get(t, {}).get(measure)


def history(death, others, significance):
    """Return (history, scope) of a trajectory that died; others: all trajectories of the cell."""
    t = death["duration"]
    if t == 0:
        return "at once", None
    own = death["measures"][t]
    if own["peak"] is None:
        return "unclear", None
    alive = [
        other
        for other in others
        if other["alpha"] != 0 and (other["duration"] > t or not other["died"]) and _value(other, t, "peak") is not None
    ]
    for scope, columns in (("dose", ("method", "alpha")), ("method", ("method",)), ("cell", ())):
        pool = [other for other in alive if all(other[name] == death[name] for name in columns)]
        if len(pool) >= math.ceil(round(1 / significance, 9)) - 1:
            for name, verdict in (("level", "sustained"), ("peak", "spike")):
                higher = sum(other["measures"][t][name] >= own[name] for other in pool)
                if (1 + higher) / (1 + len(pool)) <= significance:
                    return verdict, scope
            return "neither", scope
    return "unclear", None
