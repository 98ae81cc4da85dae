"""Where the next dose goes, so that few doses give a short interval of the lethal one.

Doses lie on a grid of `STEP` in log dose, so that a dose has a short name. First the dose is doubled, or halved, until
it passes the lethal one and the interval is closed; from there on the gap between neighbouring doses that holds most of
the interval is halved. It is a bisection as long as the doses alone limit the interval, and a refinement
inside it where the prompts do.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from steerdose.survival.lethal_dose import LETHAL

STEP = math.log(2) / 8  # a factor of 1.09
FACTOR = 2.0  # until the lethal dose is passed


@dataclass(frozen=True)
class Known:
    """What the doses so far say. dead: by dose, the share. low, high: the interval of the LD50, null where open."""

    dead: Mapping[float, float]
    low: float | None
    high: float | None


def on_grid(dose: float) -> float:
    """Return the dose of the grid that is nearest, to four digits."""
    return float(f"{math.exp(round(math.log(dose) / STEP) * STEP):.4g}")


def next_dose(known: Known, lowest: float, highest: float, ratio: float) -> float | None:
    """Return the next dose of a method; None where another one would not help, or is not needed.

    ratio: of the interval's bounds, at which it is short enough.
    """
    tried = sorted(known.dead)
    if not tried:
        return on_grid(min(max(1.0, lowest), highest))
    if known.dead[tried[-1]] <= LETHAL:
        return _beyond(tried[-1], FACTOR, lowest, highest)
    if known.dead[tried[0]] >= LETHAL and (below := _beyond(tried[0], 1 / FACTOR, lowest, highest)):
        return below
    if known.high is None and (above := _beyond(tried[-1], FACTOR, lowest, highest)):
        return above
    if known.low is None and (below := _beyond(tried[0], 1 / FACTOR, lowest, highest)):
        return below
    low, high = known.low or tried[0], known.high or tried[-1]
    if known.low and known.high and high / low <= ratio:
        return None
    wide = [(left, right) for left, right in pairwise(tried) if math.log(right / left) > 1.5 * STEP]
    held = [(math.log(min(right, high) / max(left, low)), left, right) for left, right in wide]
    most, left, right = max(held, default=(0.0, 1.0, 1.0))
    return on_grid(math.sqrt(left * right)) if most > STEP else None


def _beyond(last: float, factor: float, lowest: float, highest: float) -> float | None:
    dose = on_grid(min(max(last * factor, lowest), highest))
    return dose if abs(math.log(dose / last)) > STEP / 2 else None
