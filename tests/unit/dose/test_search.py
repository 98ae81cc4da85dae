"""The search for a dose, on curves whose answer is known; and the KL statistics."""

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from steerdose.dose.kl_statistics import STATISTICS, kl_statistics
from steerdose.dose.search import find_dose
from steerdose.errors import SteerdoseError
from steerdose.study.config import Statistic

CURVES = {  # of dose / c_star's scale: quadratic near 0, then as the name says
    "quadratic": lambda x: x**2,
    "exponential": lambda x: 12 * -math.expm1(-(x**2) / 12),
    "rational": lambda x: 5 * x**2 / (5 + x**2),
    "low ceiling": lambda x: 1.5 * -math.expm1(-(x**2) / 1.5),
    "overflowing": lambda x: x**2 if x < 30 else math.inf,
}


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
@pytest.mark.parametrize("scale", [1e-3, 1e-2, 1e-1, 1, 10, 100, 1e3, 1e4])
def test_the_default_budget_finds_every_planted_scale(curve, scale):
    calls = []
    found = find_dose(lambda dose: calls.append(dose) or curve(dose / scale), 1.0)
    assert found.converged
    assert found.evaluations == len(calls) == len(set(calls)) <= 6
    assert found.statistic == curve(found.c_star / scale) == pytest.approx(1, rel=0.05)


@given(log_scale=st.floats(-3, 4), target=st.floats(0.1, 3), ceiling=st.floats(4, 20))
def test_scales_between_them_are_found_too(log_scale, target, ceiling):
    scale = 10**log_scale
    found = find_dose(lambda dose: ceiling * -math.expm1(-((dose / scale) ** 2) / ceiling), target)
    assert found.converged
    assert found.c_star == pytest.approx(scale * math.sqrt(-ceiling * math.log1p(-target / ceiling)), rel=0.1)


@given(log_scale=st.floats(-3, 4), power=st.floats(0.7, 4), ceiling=st.floats(1.5, 20))
def test_steeper_and_flatter_curves_are_found_as_well(log_scale, power, ceiling):
    def curve(dose):
        return ceiling * -math.expm1(-((dose / 10**log_scale) ** power) / ceiling)

    assert find_dose(curve, 1.0, max_evaluations=20).converged


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
@pytest.mark.parametrize("scale", [1e-2, 1, 1e2])
def test_what_is_known_is_not_evaluated_again_and_shows_the_way(curve, scale):
    calls = []
    known = {dose * scale: curve(dose) for dose in (0.3, 0.7)}
    found = find_dose(lambda dose: calls.append(dose) or curve(dose / scale), 1.0, known=known)
    assert found.converged
    assert found.evaluations == len(calls) <= 2
    assert not set(calls) & set(known)
    assert find_dose(curve, found.statistic, known={found.c_star: found.statistic}).evaluations == 0
    assert find_dose(curve, 1.0, known={50.0: math.inf, 2.0: curve(2.0)}).converged


def test_a_target_between_the_last_dose_and_an_overflow_is_said():
    found = find_dose(lambda dose: 0.3 if dose < 2 else math.inf, 1.0, max_evaluations=25)
    assert found.statistic == 0.3
    assert found.reason.startswith("discontinuous: the statistic jumps from 0.3 to inf")


def test_a_noisy_step_curve_gives_the_closest_point_and_says_why():
    found = find_dose(lambda dose: 0.3 if dose < 2 else 5.0, 1.0, max_evaluations=25, tolerance=0.05)
    assert not found.converged
    assert found.reason.startswith("discontinuous: the statistic jumps from 0.3 to 5")
    assert found.bracket[0] < 2 <= found.bracket[1]


def test_a_spent_budget_is_said_with_the_bracket():
    found = find_dose(lambda dose: 0.3 if dose < 2 else 5.0, 1.0, max_evaluations=4)
    assert found.evaluations == 4
    assert not found.converged
    assert "4 evaluations spent; the target lies between" in found.reason


def test_flat_and_unreachable_targets_are_told_apart():
    assert find_dose(lambda dose: 0.0, 1.0).reason.startswith("flat: the statistic stays near 0")
    assert find_dose(lambda dose: 0.5, 1.0).reason.startswith("flat: the statistic stays near 0.5")
    low = find_dose(lambda dose: 0.2 * dose / (1 + dose), 1.0)
    assert low.reason.startswith("unreachable: the statistic is")
    assert low.reason.endswith("always below the target")
    assert low.c_star == max(low.c_star, 1.0)


@pytest.mark.parametrize("bad", [math.nan, -1.0])
def test_a_statistic_that_is_no_kl_is_refused(bad):
    with pytest.raises(SteerdoseError, match="at coefficient 1: expected a value of at least 0"):
        find_dose(lambda dose: bad, 1.0)


def test_a_steering_that_overflows_everywhere_is_refused():
    with pytest.raises(SteerdoseError, match="all 3 coefficients from 1 down to 1e-06 are far too strong"):
        find_dose(lambda dose: math.inf, 1.0, max_evaluations=3)


def test_statistics_have_their_definitions():
    values = np.random.default_rng(0).exponential(size=400)
    found = kl_statistics(values.tolist())
    ordered = sorted(values)
    for percent in (50, 90, 95, 99):
        at = percent / 100 * 399
        interpolated = ordered[int(at)] + (at - int(at)) * (ordered[int(at) + 1] - ordered[int(at)])
        assert found[f"p{percent}"] == pytest.approx(interpolated)
    assert found["rmse"] == pytest.approx(math.sqrt(sum(v * v for v in values) / 400))
    assert (found["mean"], found["max"], found["n_tokens"]) == (pytest.approx(sum(values) / 400), max(values), 400)


def test_every_statistic_can_be_the_target():
    assert get_args(Statistic) == STATISTICS


def test_no_tokens_at_all_is_an_error():
    with pytest.raises(SteerdoseError, match="every rollout ended at its first token"):
        kl_statistics([])
