"""The threshold sweep: at each threshold what the survival modules say on their own; ranks, noise floor."""

import polars as pl
import pytest
from steerdose.survival.dose_response import dose_shares, lethal_doses
from steerdose.survival.kaplan_meier import estimate_survival
from steerdose.survival.lifetimes import dips
from sweep_examples import GRID, fading, rollouts, sweep


@pytest.mark.parametrize("threshold", [0.5, 0.75, 0.9])
def test_each_threshold_gives_what_survival_says_there(threshold):
    forks, trajectories = rollouts(fading, ("b", "a", "prompt"), (-2.0, -1.0, 0.0, 1.0, 2.0))
    shares, doses = sweep(forks, trajectories)
    expected = []
    for method in ("b", "a", "prompt"):
        lives = dips(trajectories.filter(method=method), forks.filter(method=method), threshold, GRID)
        expected.append(estimate_survival(lives, GRID)[0])
    expected = dose_shares(pl.concat(expected))
    found = shares.filter(value=threshold)
    assert found.drop("value", "configured").equals(expected)
    assert found["configured"].unique().to_list() == [threshold == 0.75]
    lethal = lethal_doses(expected, 0.5)
    assert doses.filter(value=threshold).select(lethal.columns).equals(lethal)


def test_a_higher_threshold_calls_more_dead_and_the_lethal_dose_smaller():
    def level(method, alpha, prompt, t):
        return {0: 0.92, 1: 0.8, 2: 0.6}[alpha]

    shares, doses = sweep(*rollouts(level), values=[0.55, 0.7, 0.85], safe_level=0.4)
    assert doses["value"].to_list() == [0.55, 0.7, 0.75, 0.85], "the configured one is always there"
    assert doses["status"].to_list() == ["above", "inside", "inside", "below"]
    assert doses["ld50"].to_list() == [None, pytest.approx(2**0.5), pytest.approx(2**0.5), None]
    assert doses["safe_dose"].to_list() == [2, 1, 1, None]
    assert shares.filter(alpha=1)["dead"].to_list() == [0, 0, 0, 1]


def test_the_unsteered_model_shows_the_noise_floor():
    def level(method, alpha, prompt, t):
        return 0.8 if alpha or prompt < 2 else 0.95

    _, doses = sweep(*rollouts(level), values=[0.75, 0.9])
    assert doses["unsteered_dead"].to_list() == [0, 0.25]


def test_relative_thresholds_are_shares_of_each_models_own_median():
    def level(method, alpha, prompt, t):
        return {0: 0.9, 1: 0.5, 2: 0.3}[alpha]

    parts = [rollouts(level, model=model) for model in ("one", "two")]
    forks, trajectories = (pl.concat(frames) for frames in zip(*parts, strict=True))
    options = {"kind": "relative", "value": 0.75, "values": [0.5]}
    _, doses = sweep(forks, trajectories, {"one": 0.9, "two": 0.6}, **options)
    found = {(model, value): dose for model, value, dose in doses.select("model", "value", "ld50").iter_rows()}
    middle = pytest.approx(2**0.5)
    # thresholds 0.45, 0.675, 0.3 and 0.45; pmass 0.5 at dose 1 and 0.3 at dose 2
    assert found == {("one", 0.5): middle, ("one", 0.75): None, ("two", 0.5): None, ("two", 0.75): middle}
    assert doses.filter(model="one", value=0.75)["status"].to_list() == ["below"]


def ranked(orders):
    """A sweep over two thresholds, with the dose at which each method dies at each of them."""

    def level(method, alpha, prompt, t):
        return 0.95 - 0.3 * (alpha >= orders[method][1]) - 0.3 * (alpha >= orders[method][0])

    return sweep(*rollouts(level, tuple(orders), (0.0, 1.0, 2.0, 3.0)), values=[0.5, 0.9], value=0.5)


def test_ranks_are_of_lethal_doses_and_ties_share():
    _, doses = ranked({"a": (2, 1), "b": (3, 1), "c": (9, 3), "d": (9, 2)})
    first, second = (doses.filter(value=value).select("method", "rank").rows() for value in (0.5, 0.9))
    assert first == [("a", 4), ("b", 3), ("c", 1), ("d", 1)]
    assert second == [("a", 3), ("b", 3), ("c", 1), ("d", 2)]


def test_agreement_in_order_is_kendalls_tau():
    _, doses = ranked({"a": (2, 3), "b": (3, 2), "c": (9, 1)})
    assert doses.filter(value=0.5)["tau"].to_list() == pytest.approx([1] * 3)
    assert doses.filter(value=0.9)["tau"].to_list() == pytest.approx([-1] * 3)
    _, tied = ranked({"a": (2, 1), "b": (3, 1)})
    assert tied.filter(value=0.9)["tau"].to_list() == [None, None]


def test_prompts_and_alpha_0_alone_have_shares_and_no_lethal_dose():
    shares, doses = sweep(*rollouts(fading, ("prompt",), (0.0, 1.0)))
    assert doses.is_empty() and len(shares) == 6
