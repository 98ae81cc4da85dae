"""The search for a dose, on curves whose answer is known; and the KL statistics."""

import math

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from steerdose.calibrate import find_dose
from steerdose.digests import LIBRARY
from steerdose.errors import SteerdoseError
from steerdose.kl_statistics import STATISTICS, kl_statistics


def saturating(scale):
    """KL-like: quadratic near 0, bending over towards 12 nats."""
    return lambda dose: 12 * (1 - math.exp(-((dose / scale) ** 2) / 12))


@given(log_scale=st.floats(-2.5, 4), target=st.floats(0.1, 3))
def test_planted_scales_are_found_without_a_bracket(log_scale, target):
    scale = 10**log_scale
    found = find_dose(saturating(scale), target, max_evaluations=9)
    exact = scale * math.sqrt(-12 * math.log(1 - target / 12))
    assert found.converged
    assert found.statistic == pytest.approx(target, rel=0.05)
    assert found.c_star == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("scale", [1, 1.2, 10, 45, 300])
def test_usual_scales_take_at_most_6_evaluations(scale):
    calls = []
    found = find_dose(lambda dose: calls.append(dose) or saturating(scale)(dose), 1.0)
    assert found.converged
    assert found.evaluations == len(calls) == len(set(calls)) <= 6


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


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_a_statistic_that_is_no_kl_is_refused(bad):
    with pytest.raises(SteerdoseError, match="at coefficient 1: expected a finite value"):
        find_dose(lambda dose: bad, 1.0)


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
    schema = yaml.safe_load((LIBRARY.parent / "schemas/config.schema.yaml").read_text())
    assert schema["properties"]["calibration"]["properties"]["statistic"]["enum"] == list(STATISTICS)


def test_no_tokens_at_all_is_an_error():
    with pytest.raises(SteerdoseError, match="every rollout ended at its first token"):
        kl_statistics([])
