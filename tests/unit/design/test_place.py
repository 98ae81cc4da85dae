"""Where doses are placed: short intervals from few doses, on methods whose lethal dose was drawn and so is known."""

import math

import numpy as np
import pytest
from design_examples import Simulated
from steerdose.design.place import STEP, Known, next_dose, on_grid

BOUNDS = {"lowest": 0.125, "highest": 8.0, "ratio": 1.2}


def test_the_first_dose_is_the_calibrated_one_or_the_nearest_that_is_allowed():
    nothing = Known({}, None, None)
    assert next_dose(nothing, 0.125, 8.0, 1.5) == 1.0
    assert next_dose(nothing, 2.0, 8.0, 1.5) == 2.0
    assert next_dose(nothing, 0.125, 0.5, 1.5) == 0.5


@pytest.mark.parametrize(
    ("dead", "low", "high", "expected"),
    [
        ({1.0: 0.0}, 0.9, None, 2.0),  # nobody: higher
        ({1.0: 1.0}, None, 1.1, 0.5),  # all: lower
        ({1.0: 0.0, 2.0: 0.5}, 1.0, None, 4.0),  # half is not more than half
        ({1.0: 0.2, 8.0: 0.4}, 0.9, None, None),  # beyond what is allowed
        ({0.125: 0.9}, None, 0.2, None),
        ({1.0: 0.0, 2.0: 1.0}, 0.9, 2.2, 1.414),  # between
        ({1.0: 0.1, 2.0: 0.9, 4.0: 1.0}, None, 2.2, 0.5),  # an open interval is closed first
        ({1.0: 0.0, 1.414: 0.4, 2.0: 0.9, 4.0: 1.0}, 1.42, 1.9, 1.682),  # the gap that holds the interval
        ({1.0: 0.0, 2.0: 0.1, 2.828: 0.9, 4.0: 1.0}, 1.92, 2.94, 2.378),  # and no wider one that it only touches
        ({1.0: 0.0, 2.0: 0.4, 2.181: 0.9, 4.0: 1.0}, 1.92, 2.6, 2.828),
        ({1.0: 0.0, 2.0: 0.4, 2.181: 0.9, 4.0: 1.0}, 1.6, 2.2, 1.414),
        ({1.0: 0.0, 2.0: 0.4, 2.181: 0.9, 4.0: 1.0}, 1.9, 2.3, None),  # what is left is no gap's
        ({1.0: 0.0, 1.189: 1.0}, 0.99, 1.18, None),  # short enough
        ({1.0: 0.4, 1.091: 0.6}, 0.8, 1.4, None),  # long, but no gap is left to be halved
    ],
)
def test_the_next_dose(dead, low, high, expected):
    assert next_dose(Known(dead, low, high), **BOUNDS) == expected


@pytest.mark.parametrize("spread", [0.1, 0.3, 0.7])
def test_doses_are_distinct_on_the_grid_and_inside(spread):
    for draw in range(10):
        doses = Simulated.drawn(draw, spread).designed(10, **BOUNDS)[0]
        assert len(set(doses)) == len(doses) <= 10
        assert all(0.125 <= dose <= 8 and dose == on_grid(dose) for dose in doses)
        logs = np.sort(np.log(doses))
        assert np.diff(logs).min(initial=1.0) > 0.9 * STEP


@pytest.mark.parametrize(("spread", "doses"), [(0.15, 5), (0.35, 5), (0.7, 6)])
def test_an_interval_is_as_short_as_a_grids_of_twice_as_many_doses_and_holds_the_truth(spread, doses):
    """The grid spans the same range, and its doses have equal ratios."""
    designed, grid, held = [], [], []
    for draw in range(30):
        method = Simulated.drawn(draw, spread)
        known = method.designed(doses, **BOUNDS)[1]
        regular = method.known(np.geomspace(0.125, 8, 2 * doses - 1))
        designed.append(length(known))
        grid.append(length(regular))
        held.append(bool(known.low and known.high and known.low <= method.ld50 <= known.high))
    assert np.median(designed) <= np.median(grid)
    assert np.mean(held) >= 0.9


def length(known):
    return math.log(known.high / known.low) if known.low and known.high else math.inf
