"""Find the dose at which a statistic meets its target. Knows nothing of models: any `dose -> statistic` will do.

KL grows like the dose squared near zero and saturates far away. So no bracket is given: the search jumps along the
quadratic until the target is bracketed, drops far down where the curve is flat, and inside the bracket takes the curve
v(c) = 1 / (1 / (a c^2) + b) through both ends, which has both limits; geometric bisection is its safeguard.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from steerdose.errors import SteerdoseError

NOISE = 1e-6  # nats: below this a KL in float32 is rounding, so its slope says nothing
BLIND_STEP = 1e3  # how far to jump where the curve is flat: noise, saturation, logits that overflow
SLOPES = (0.5, 4.0)  # slopes in log-log that a jump believes in
RESOLUTION = 1e-3  # a bracket with ends as close as this (relative) is not divided any more


@dataclass(frozen=True)
class Calibration:
    """c_star is the evaluated dose closest to the target (in log), `statistic` its value, `reason` why it stopped."""

    c_star: float
    statistic: float
    target: float
    converged: bool
    reason: str
    evaluations: int
    bracket: tuple[float, float] | None


class _Search:
    """Evaluations by dose, and what they suggest to try next."""

    def __init__(self, target: float, tolerance: float) -> None:
        self.target, self.tolerance = target, tolerance
        self.values: dict[float, float] = {}
        self.stalled = 0  # steps in a row that left the wider part of the bracket

    def add(self, dose: float, value: float) -> None:
        if math.isnan(value) or value < 0:
            raise SteerdoseError(f"the KL statistic is {value} at coefficient {dose:g}: expected a value of at least 0")
        before = self.bracket()
        self.values[dose] = value
        after = self.bracket()
        if before and after:
            self.stalled = self.stalled + 1 if _width(after) > _width(before) / 2 else 0

    def best(self) -> float:
        return min(self.values, key=lambda dose: abs(math.log(max(self.values[dose], NOISE) / self.target)))

    def converged(self) -> bool:
        return abs(self.values[self.best()] / self.target - 1) <= self.tolerance

    def bracket(self) -> tuple[float, float] | None:
        """Return the closest neighbours, in order of dose, between which the statistic crosses the target upwards."""
        crossings = [
            (low, high)
            for low, high in pairwise(sorted(self.values))
            if self.values[low] < self.target <= self.values[high]
        ]
        return min(crossings, key=_width) if crossings else None

    def next_dose(self) -> float | None:
        """Return the dose to evaluate next, 1 the first; None where one is close enough, or nothing left to divide."""
        if not self.values:
            return 1.0
        if self.converged():
            return None
        ends = self.bracket()
        if not ends:
            return self.jump()
        if _width(ends) < math.log1p(RESOLUTION):
            return None
        low, high = ends
        if self.stalled > 2:
            return math.sqrt(low * high)
        below = sorted(dose for dose in self.values if dose <= low)
        power = _clamped(self.slope(below[-2:]))
        # v = 1 / (1 / (a c^power) + b) is linear in (c^-power, 1 / v).
        far, near = 1 / self.values[high], 1 / max(self.values[low], NOISE)
        share = (1 / self.target - far) / (near - far)
        dose = high * (1 + share * ((high / low) ** power - 1)) ** (-1 / power)
        margin = RESOLUTION * _width(ends)
        return math.exp(min(max(math.log(dose), math.log(low) + margin), math.log(high) - margin))

    def jump(self) -> float:
        """Return the next dose beyond the points seen so far, all on one side, along the line through the last two."""
        doses = sorted(self.values)
        upwards = self.values[doses[0]] < self.target
        last = doses[-2:] if upwards else doses[:2]
        edge = last[-1] if upwards else last[0]
        value, slope = self.values[edge], self.slope(last)
        if upwards and value < NOISE:
            return edge * BLIND_STEP
        if not upwards and (math.isinf(value) or slope < SLOPES[0]):
            return edge / BLIND_STEP
        return edge * (self.target / value) ** (1 / _clamped(slope))

    def slope(self, doses: list[float]) -> float:
        """Return the slope in log-log between two doses; 2, that of KL near 0, where they do not tell."""
        values = [self.values[dose] for dose in doses]
        if len(doses) < 2 or min(values) < NOISE or max(values) == math.inf:
            return 2.0
        return math.log(values[1] / values[0]) / math.log(doses[1] / doses[0])


def find_dose(
    statistic: Callable[[float], float],
    target: float,
    *,
    tolerance: float = 0.05,
    max_evaluations: int = 6,
    known: Mapping[float, float] | None = None,
) -> Calibration:
    """Return the dose > 0 at which `statistic` is within `tolerance` (relative) of `target`.

    statistic: dose -> value >= 0 in the target's unit, evaluated at most `max_evaluations` times; infinity means far
    too strong. known: what it is at some doses, where that was found out before. It need be neither smooth nor
    continuous: where no dose meets the target the closest comes back with `converged` False and a reason. On curves
    that are quadratic near 0 and saturate, 6 evaluations find any dose from 1e-3 to 1e4. Raises SteerdoseError for a
    value that is negative or NaN, and where every value is infinite.
    """
    search = _Search(target, tolerance)
    for dose, value in (known or {}).items():
        search.add(dose, value)
    for _ in range(max_evaluations):
        if (next_dose := search.next_dose()) is None:
            break
        search.add(next_dose, statistic(next_dose))
    best = search.best()
    if math.isinf(search.values[best]):
        raise SteerdoseError(
            f"all {len(search.values)} coefficients from {max(search.values):g} down to {min(search.values):g} are far "
            "too strong: logits overflow, or every rollout ends at its first token (the log says which); see the norms "
            "in the steering's geometry.json, models.<name>.chat_template, or raise calibration.max_evaluations"
        )
    return Calibration(
        c_star=best,
        statistic=search.values[best],
        target=target,
        converged=search.converged(),
        reason="within tolerance" if search.converged() else _why_not(search),
        evaluations=len(search.values) - len(known or {}),
        bracket=search.bracket(),
    )


def _clamped(slope: float) -> float:
    return min(max(slope, SLOPES[0]), SLOPES[1])


def _width(bracket: tuple[float, float]) -> float:
    return math.log(bracket[1] / bracket[0])


def _why_not(search: _Search) -> str:
    doses = sorted(search.values)
    low, high = search.values[doses[0]], search.values[doses[-1]]
    span = f"coefficients {doses[0]:g} to {doses[-1]:g}"
    if bracket := search.bracket():
        ends = " to ".join(f"{search.values[dose]:.3g}" for dose in bracket)
        if bracket[1] / bracket[0] < 1 + search.tolerance:
            return f"discontinuous: the statistic jumps from {ends} between {bracket[0]:g} and {bracket[1]:g}"
        return f"{len(doses)} evaluations spent; the target lies between {bracket[0]:g} and {bracket[1]:g} ({ends})"
    if doses[-1] / doses[0] > 10 and max(search.values.values()) < 1.1 * max(min(search.values.values()), NOISE):
        return f"flat: the statistic stays near {high:.3g} over {span}; does the steering reach the output?"
    side = "below" if high < search.target else "above"
    return f"unreachable: the statistic is {low:.3g} to {high:.3g} over {span}, always {side} the target"
