"""ED50, minimal effective dose, therapeutic index: against curves whose values are known."""

import math

import numpy as np
import polars as pl
import pytest
from benefit_examples import MOOD, mood_scores
from steerdose.benefit.effects import rows_of, split, sums_by_dose
from steerdose.benefit.index import (
    Curve,
    curve_of,
    half_doses,
    heldout_effect,
    index_of,
    recommended,
    rising_effect,
)

DOSES = (0.5, 1.0, 1.5, 2.0, 3.0)
LIVE = dict.fromkeys(DOSES, 0.0)
LETHAL = {"ld50": 2.4, "bracket_low": 2.0, "bracket_high": 3.0, "safe_dose": 1.5, "n_prompts": 24}


def curve(changes, dead=LIVE, q=0.0, sign=1.0, noise=0.05):
    rows = rows_of(mood_scores({sign * dose: change for dose, change in changes.items()}, noise=noise), MOOD, "valence")
    sums = {abs(alpha): own for alpha, own in sums_by_dose(rows, MOOD)["one"].items()}
    return curve_of(sums, sign, dead, dict.fromkeys(DOSES, q))


def lives(sizes, dead_from=2.5, n=24):
    """Lifetimes of a method whose texts all die above one dose."""
    rows = [
        {"alpha": a, "prompt_id": f"p{i}", "sample": 0, "died": a > dead_from, "method": "one"}
        for a in sizes
        for i in range(n)
    ]
    return pl.DataFrame(rows)


def test_the_ed50_of_an_emax_curve_is_near_its_parameter():
    """E = Emax d / (d50 + d) tried up to 3: half of the largest tried effect is reached where the formula says."""
    planted = {dose: 0.9 * dose / (0.8 + dose) for dose in DOSES}
    found = half_doses(curve(planted, noise=0.0))[0]
    half = planted[3.0] / 2
    true = 0.8 * half / (0.9 - half)
    assert found == pytest.approx(true, rel=0.15), "straight between doses"


def test_a_linear_effect_has_its_ed50_in_the_middle():
    assert half_doses(curve({dose: 0.2 * dose for dose in DOSES}, noise=0.0))[0] == pytest.approx(1.5)


def test_a_dose_that_breaks_most_texts_buys_nothing():
    dead = {**LIVE, 2.0: 0.6, 3.0: 0.9}
    found = curve({0.5: 0.1, 1.0: 0.2, 1.5: 0.3, 2.0: 0.9, 3.0: 0.9}, dead, noise=0.0)
    assert half_doses(found)[0] == pytest.approx(0.75)
    fitted = rising_effect(found)
    assert fitted[:4] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert np.isnan(fitted[4:]).all()


def test_a_rise_that_dips_is_pooled():
    found = rising_effect(curve({0.5: 0.3, 1.0: 0.1, 1.5: 0.4, 2.0: 0.3, 3.0: 0.2}, noise=0.0))
    assert found[:4] == pytest.approx([0, 0.2, 0.2, 0.4])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_index_and_margin_of_a_planted_effect(sign):
    found = index_of(curve({d: sign * 0.2 * d for d in DOSES}, sign=sign), lives(DOSES), LETHAL, 0.95)
    assert found["ed50"] == pytest.approx(1.5, rel=0.1)
    assert found["index"] == pytest.approx(2.4 / found["ed50"])
    assert found["index_low"] < found["index"] < found["index_high"]
    assert found["index_low"] > 2.0 / 1.8
    assert found["minimal_dose"] == 0.5
    assert found["margin"] == 3.0


def test_an_effect_against_the_sign_or_none_is_no_effect_shown():
    for changes in ({d: -0.2 * d for d in DOSES}, dict.fromkeys(DOSES, 0.0)):
        found = index_of(curve(changes, q=0.5), lives(DOSES), LETHAL, 0.95)
        assert set(found.values()) == {None}


def test_an_interval_without_a_small_q_is_not_enough():
    assert not curve({d: 0.2 * d for d in DOSES}, q=0.2).effective(0.95).any()


def test_where_no_dose_kills_half_the_index_has_a_lower_bound_alone():
    lethal = {**LETHAL, "ld50": None, "bracket_low": 3.0, "bracket_high": None}
    found = index_of(curve({d: 0.2 * d for d in DOSES}), lives(DOSES, dead_from=9), lethal, 0.95)
    assert found["index"] is None
    assert found["index_high"] is None
    assert 3.0 / 1.8 < found["index_low"] < 3.0 / 1.3


def test_too_few_prompts_give_no_interval_of_the_index():
    found = index_of(curve({d: 0.2 * d for d in DOSES}), lives(DOSES, n=3), {**LETHAL, "n_prompts": 3}, 0.95)
    assert found["index"] is not None
    assert found["index_low"] is found["index_high"] is None


def test_the_interval_of_the_ed50_covers_the_truth_in_most_studies():
    """120 studies of a noisy linear effect, whose ED50 is 1.5."""
    draw, covered = np.random.default_rng(3), []
    for _ in range(120):
        n = 40
        effect = np.stack([0.2 * d + 0.5 * draw.normal(size=n) for d in DOSES], axis=1)
        found = half_doses(noisy(effect, draw))
        low, high = np.nanquantile(found[1:], [0.025, 0.975])
        covered.append(low <= 1.5 <= high)
    assert np.mean(covered) > 0.88


def noisy(effect, draw):
    """The curve of a study, of the effect of every item at every dose."""
    n = len(effect)
    weights = np.vstack([np.ones(n), draw.multinomial(n, np.full(n, 1 / n), size=300)]) / n
    halves = split(n) @ effect / (n // 2)
    return Curve(np.array(DOSES), weights @ effect, np.ones(5, bool), np.zeros(5), halves)


def test_the_effect_on_items_that_did_not_pick_the_dose_is_not_flattered():
    """200 studies of five doses that all do 0.3: the best of them looks better than it is."""
    draw, found = np.random.default_rng(7), []
    for _ in range(200):
        study = noisy(0.3 + 0.5 * draw.normal(size=(31, 5)), draw)
        found.append((study.effect[0][recommended(study, 3.0, 0.95)], heldout_effect(study, 3.0, 0.95)))
    flattered, honest = np.mean(found, axis=0)
    error = np.std([one for _, one in found]) / np.sqrt(len(found))
    assert flattered > 0.3 + 0.06
    assert honest == pytest.approx(0.3, abs=3 * error)
    assert error < 0.01


def test_the_effect_held_out_is_of_safe_doses_alone():
    strong = curve({0.5: 0.1, 1.0: 0.2, 1.5: 0.3, 2.0: 0.9, 3.0: 0.9}, noise=0.0)
    assert heldout_effect(strong, 1.5, 0.95) == pytest.approx(0.3)
    assert heldout_effect(strong, 3.0, 0.95) == pytest.approx(0.9)
    assert heldout_effect(strong, None, 0.95) is None
    dead = {**LIVE, 2.0: 0.6, 3.0: 0.9}
    assert heldout_effect(curve({d: 0.2 * d for d in DOSES}, dead, noise=0.0), 3.0, 0.95) == pytest.approx(0.3)


def test_recommended_is_the_safe_dose_with_the_highest_lower_bound():
    strong = curve({0.5: 0.1, 1.0: 0.5, 1.5: 0.4, 2.0: 0.9, 3.0: 0.9})
    assert strong.dose[recommended(strong, 1.5, 0.95)] == 1.0
    assert strong.dose[recommended(strong, 3.0, 0.95)] in (2.0, 3.0)
    assert recommended(strong, None, 0.95) is None
    assert recommended(strong, 0.4, 0.95) is None
    assert math.isnan(half_doses(curve(dict.fromkeys(DOSES, -0.5), noise=0.0))[0])
