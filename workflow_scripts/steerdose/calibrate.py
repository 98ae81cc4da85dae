"""Find the dose at which a statistic meets its target. Knows nothing of models: any `dose -> statistic` will do.

KL grows like the dose squared near zero and flattens later, so the curve is close to a straight line in log-log: jump
along that line until the target is bracketed, then let scipy's `brentq` (Brent 1973) finish on the logarithms.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from scipy.optimize import brentq

from .errors import SteerdoseError

NOISE = 1e-7  # nats: below this a KL in float32 is rounding, so its slope says nothing
BLIND_STEP = 1e3  # how far to jump when the value is noise
SLOPES = (0.5, 4.0)  # slopes in log-log that a jump believes in


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


class _OutOfBudgetError(Exception):
    pass


class _Search:
    """Evaluations by dose, each made once; `gap` is log(value / target), exactly 0 within the tolerance."""

    def __init__(self, statistic: Callable[[float], float], target: float, tolerance: float, budget: int) -> None:
        self.statistic, self.target, self.tolerance, self.budget = statistic, target, tolerance, budget
        self.values: dict[float, float] = {}

    def gap(self, dose: float) -> float:
        if dose not in self.values:
            if len(self.values) == self.budget:
                raise _OutOfBudgetError
            value = self.statistic(dose)
            if not math.isfinite(value) or value < 0:
                raise SteerdoseError(f"the KL statistic is {value} at coefficient {dose:g}: expected a finite value")
            self.values[dose] = value
        value = self.values[dose]
        within = abs(value / self.target - 1) <= self.tolerance
        return 0.0 if within else math.log(max(value, NOISE) / self.target)

    def best(self) -> float:
        return min(self.values, key=lambda dose: abs(math.log(max(self.values[dose], NOISE) / self.target)))

    def bracket(self) -> tuple[float, float] | None:
        """Return the closest neighbours, in order of dose, between which the statistic crosses the target upwards."""
        doses = sorted(self.values)
        crossings = [
            (low, high) for low, high in pairwise(doses) if self.values[low] < self.target <= self.values[high]
        ]
        return min(crossings, key=lambda pair: pair[1] / pair[0]) if crossings else None

    def jump(self) -> float:
        """Return the next dose beyond the points seen so far, all on one side, along the line through the last two."""
        doses = sorted(self.values)
        below = self.values[doses[0]] < self.target
        edge, near = (doses[-1], doses[-2:-1]) if below else (doses[0], doses[1:2])
        value = self.values[edge]
        if value < NOISE:
            return edge * BLIND_STEP
        slope = 2.0
        if near and self.values[near[0]] >= NOISE:
            slope = math.log(value / self.values[near[0]]) / math.log(edge / near[0])
        return edge * (self.target / value) ** (1 / min(max(slope, SLOPES[0]), SLOPES[1]))


def find_dose(
    statistic: Callable[[float], float],
    target: float,
    *,
    tolerance: float = 0.05,
    max_evaluations: int = 6,
    start: float = 1.0,
) -> Calibration:
    """Return the dose > 0 at which `statistic` is within `tolerance` (relative) of `target`.

    statistic: dose -> value >= 0 in the target's unit, evaluated at most `max_evaluations` times. It need be neither
    smooth nor continuous: where no dose meets the target the closest comes back with `converged` False and a reason.
    """
    search = _Search(statistic, target, tolerance, max_evaluations)
    try:
        dose, found = start, None
        while search.gap(dose) and not (found := search.bracket()):
            dose = search.jump()
        if found:
            low, high = map(math.log, found)
            brentq(lambda x: search.gap(_same(math.exp(x), found)), low, high, xtol=1e-4, rtol=1e-4, disp=False)
    except _OutOfBudgetError:
        pass
    best = search.best()
    converged = abs(search.values[best] / target - 1) <= tolerance
    return Calibration(
        c_star=best,
        statistic=search.values[best],
        target=target,
        converged=converged,
        reason="within tolerance" if converged else _why_not(search),
        evaluations=len(search.values),
        bracket=search.bracket(),
    )


def _same(dose: float, ends: tuple[float, float]) -> float:
    """Undo exp(log(end)), so that the bracket's ends are not evaluated again."""
    return next((end for end in ends if math.isclose(dose, end, rel_tol=1e-12)), dose)


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
