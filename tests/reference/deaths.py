"""Histories of deaths, one trajectory after the other. Trajectories are dicts with `measures` by fork."""

import math


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
