"""Lethal and safe doses: hand-computed cases, slow twins, and simulated cohorts whose truth is known."""

import numpy as np
import polars as pl
import pytest
from dose_examples import DOSES, GRID, cohort, exact, respond
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import dose_response as twin
from steerdose.errors import SteerdoseError
from steerdose.survival.dose_response import dose_response, dose_shares, hill_slope, lethal_doses
from steerdose.survival.kaplan_meier import estimate_survival


def row(lives, **options):
    table = respond(lives, **options)[1]
    assert len(table) == 1
    return table.row(0, named=True)


def test_the_lethal_dose_lies_between_doses_in_log_dose():
    found = row(cohort([0, 0, 3, 9, 12]))
    assert found["ld50"] == pytest.approx(2**0.5)
    assert found["ld50_coefficient"] == pytest.approx(1.5 * 2**0.5)
    assert (found["status"], found["dose_min"], found["dose_max"], found["n_prompts"]) == ("inside", 0.25, 4, 12)
    assert found["dead_at_1"] == 0.25
    assert 1 >= found["ld50_low"] < found["ld50"] < found["ld50_high"] >= 2
    assert row(cohort([0, 0, 4, 12, 12]))["ld50"] == pytest.approx(2**0.25)


def test_a_dose_that_kills_exactly_half_is_the_lethal_one_and_a_plateau_its_middle():
    assert row(cohort([0, 0, 6, 12, 12]))["ld50"] == 1
    assert row(cohort([0, 6, 6, 12, 12]))["ld50"] == pytest.approx(0.5**0.5)
    assert row(cohort([0, 0, 0, 0, 6]))["ld50"] == 4


def test_separated_doses_give_the_middle_of_the_gap_and_the_gap_as_interval():
    found = row(cohort([0, 0, 0, 12, 12]))
    assert (found["ld50"], found["ld50_low"], found["ld50_high"]) == pytest.approx((2**0.5, 1, 2))
    assert found["slope"] > 5
    assert "separate" in found["note"]


def test_never_dead_is_above_the_largest_dose_and_open():
    found = row(cohort([0] * 5))
    assert (found["ld50"], found["ld50_low"], found["ld50_high"], found["status"]) == (None, 4, None, "above")
    assert (found["slope"], found["ld50_coefficient"], found["safe_dose"]) == (None, None, 4)


def test_all_dead_at_the_smallest_dose_is_below_it_and_open():
    found = row(cohort([12] * 5))
    assert (found["ld50"], found["ld50_low"], found["ld50_high"], found["status"]) == (None, None, 0.25, "below")
    assert (found["slope"], found["safe_dose"]) == (None, None)


def test_one_dose_has_no_slope():
    found = row(cohort([5], alphas=(1.0,)))
    assert (found["ld50"], found["status"], found["slope"], found["safe_dose"]) == (None, "above", None, None)
    assert (found["ld50_low"], found["ld50_high"]) == (None, None), "5 of 12 does not exclude one half"
    assert row(cohort([6], alphas=(1.0,)))["ld50"] == 1


@pytest.mark.parametrize("n", [1, 5])
def test_few_prompts_bound_nothing(n):
    found = row(cohort([0, 0, 0, n, n], n=n))
    assert (found["ld50"], found["ld50_low"], found["ld50_high"]) == (pytest.approx(2**0.5), None, None)
    assert f"6 prompts are needed to bound a lethal dose, here {n}" in found["note"]


def test_negative_doses_are_a_curve_of_their_own():
    lives = cohort([12, 3, 0, 9, 12], alphas=(-2.0, -1.0, -0.5, 1.0, 2.0))
    table = respond(lives)[1]
    assert table["sign"].to_list() == ["positive", "negative"]
    assert table.select("dose_min", "dose_max").rows() == [(1, 2), (0.5, 2)]
    negative = table.row(1, named=True)
    assert negative["ld50"] == pytest.approx(2 ** (1 / 3))
    assert negative["ld50_coefficient"] == pytest.approx(-1.5 * 2 ** (1 / 3))
    assert negative["dead_at_1"] == 0.25


def test_prompts_have_shares_and_no_lethal_dose():
    lives = pl.concat([cohort([0, 12], alphas=(1.0, 2.0)), cohort([3, 6], alphas=(-1.0, 1.0), method="p", c_star=None)])
    shares, table = respond(lives)
    assert table["method"].to_list() == ["lora"]
    prompts = shares.filter(pl.col("method") == "p", pl.col("alpha") != 0)
    assert prompts.select("sign", "dead", "fitted").rows() == [("negative", 0.25, None), ("positive", 0.5, None)]


def test_methods_keep_their_order_and_their_own_curves():
    lives = [cohort([0, 0, 3, 9, 12], method="z"), cohort([0, 0, 0, 3, 9], method="a")]
    curve = pl.concat([estimate_survival(each, GRID)[0] for each in lives])
    shares, table = dose_response(curve, pl.concat(lives), exact(pl.concat(lives)), confidence=0.95, safe_level=0.5)
    assert table.select("method", "ld50").rows() == [("z", pytest.approx(2**0.5)), ("a", pytest.approx(2**1.5))]
    assert shares["method"].unique(maintain_order=True).to_list() == ["z", "a"]
    assert shares["alpha"].to_list() == [0, *DOSES] * 2


def test_no_dose_at_all_is_an_empty_table():
    shares, table = respond(cohort([], alphas=()))
    assert table.is_empty() and {"ld50", "note"} < set(table.columns)
    assert shares["fitted"].to_list() == [None]


def test_a_dip_is_pooled_and_told():
    shares, table = respond(cohort([0, 6, 2, 12, 12]))
    fitted = shares.filter(pl.col("alpha") > 0)["fitted"].to_list()
    assert fitted == pytest.approx([0, 1 / 3, 1 / 3, 1, 1])
    assert table["ld50"][0] == pytest.approx(2**0.25)
    assert "pools" in table["note"][0]


def test_those_that_ended_their_turn_can_die_no_more():
    lives = cohort([0, 3], n=8, alphas=(1.0, 2.0))
    late = (pl.col("alpha") == 2) & pl.col("prompt_id").is_in(["p003", "p004"])
    lives = lives.with_columns(
        duration=pl.when(late).then(1).otherwise("duration"), ended=pl.when(late).then(True).otherwise("ended")
    )
    shares, table = respond(lives)
    assert shares["dead"].to_list() == [0, 0, 3 / 8]
    assert shares["dead_km"].to_list() == [0, 0, 0.5], "3 of the 6 at risk"
    assert table["status"].to_list() == ["above"]


def test_deaths_after_many_ended_well_are_few():
    """Two deaths after 10 of 12 ended: Kaplan and Meier's share dead is 1."""
    lives = cohort([0, 2], n=12, alphas=(1.0, 2.0))
    ended = (pl.col("alpha") == 2) & (pl.col("prompt_id") > "p001")
    shares, table = respond(lives.with_columns(duration=pl.when(ended).then(1).otherwise("duration"), ended=ended))
    assert shares.filter(alpha=2)["dead_km"].to_list() == [1]
    assert shares.filter(alpha=2)["dead"].to_list() == [pytest.approx(2 / 12)]
    assert table["ld50"].to_list() == [None]


def test_a_dose_at_which_all_ended_early_is_told():
    ended = pl.col("alpha") == 1
    lives = cohort([0, 3], alphas=(1.0, 2.0)).with_columns(
        duration=pl.when(ended).then(9).otherwise("duration"), ended=ended
    )
    assert "at 1 all ended their turn by token 9, unbroken: no information beyond" in row(lives)["note"]


@pytest.mark.parametrize(("dead", "ld50"), [([8, 5, 5, 12], 2.0), ([7, 7, 4, 12], 2.0), ([0, 7, 7, 4], 4.0)], ids=str)
def test_a_fitted_plateau_at_one_half_is_not_missed_by_rounding(dead, ld50):
    found = row(cohort(dead, alphas=(1.0, 2.0, 4.0, 8.0)))
    assert (found["ld50"], found["status"]) == (pytest.approx(ld50), "inside")


def test_several_samples_of_a_prompt_are_one_cluster():
    """Copies of every trajectory tell nothing new: the same estimates, and no narrower interval."""
    once = cohort([0, 2, 5, 9, 12])
    twice = pl.concat([once, once.with_columns(sample=pl.lit(1, pl.Int64))])
    (one, first), (two, second) = (respond(each) for each in (once, twice))
    assert first.select("ld50", "ld50_low", "ld50_high").equals(second.select("ld50", "ld50_low", "ld50_high"))
    assert two["dead"].to_list() == one["dead"].to_list()
    assert (two["dead_high"] >= one["dead_high"] - 0.02).all()
    assert (two["dead_low"] <= one["dead_low"] + 0.02).all()


def test_the_safe_dose_needs_its_bound_at_every_smaller_dose_too():
    # exact lower bounds of survival with 12: 0.735, 0.615, 0.516, 0.428 for 0, 1, 2, 3 dead
    assert row(cohort([0, 0, 2, 3, 12]))["safe_dose"] == 1
    assert row(cohort([0, 3, 2, 2, 12]))["safe_dose"] == 0.25
    assert row(cohort([3, 0, 0, 0, 12]))["safe_dose"] is None
    assert row(cohort([0, 1, 2, 3, 12]), safe_level=0.6)["safe_dose"] == 0.5
    unreachable = row(cohort([0] * 5), safe_level=0.9)
    assert unreachable["safe_dose"] is None
    assert "12 prompts without a death bound survival at 0.74, not above 0.9" in unreachable["note"]
    assert row(cohort([0] * 5, n=36), safe_level=0.9)["safe_dose"] == 4


def test_different_prompts_at_different_doses_are_refused():
    lives = cohort([0, 3], alphas=(1.0, 2.0)).filter((pl.col("alpha") != 2) | (pl.col("prompt_id") != "p000"))
    with pytest.raises(SteerdoseError, match=r"the same prompts at every dose of method lora, found \[11, 12\]"):
        respond(lives)


def test_the_bootstrap_is_the_same_twice_and_whatever_stands_beside_it():
    first, second = cohort([0, 1, 4, 9, 11]), cohort([0, 0, 2, 7, 9], method="b")
    alone = respond(first)[1]
    together = respond(pl.concat([second, first]).sample(fraction=1, shuffle=True, seed=1))[1]
    assert together.filter(method="lora").equals(alone)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=6))
def test_the_crossing_is_where_a_drawn_line_crosses(dead):
    alphas = DOSES[: len(dead)] if len(dead) < 6 else (*DOSES, 8.0)
    shares = dose_shares(estimate_survival(cohort(dead, alphas=alphas), GRID)[0])
    found = lethal_doses(shares, 0.5).row(0, named=True)
    expected = twin.crossing(alphas, shares.filter(pl.col("alpha") > 0)["fitted"].to_numpy())
    if np.isinf(expected):
        assert (found["ld50"], found["status"]) == (None, "above" if expected > 0 else "below")
    else:
        assert np.log(found["ld50"]) == pytest.approx(expected, abs=1e-4)
        assert (found["bracket_low"] or 0) <= found["ld50"] <= (found["bracket_high"] or np.inf)


def test_the_slope_of_two_doses_is_that_of_counts_with_a_half_added():
    expected = (np.log(9.5 / 3.5) - np.log(2.5 / 10.5)) / np.log(2)
    assert hill_slope(np.array([1, 2]), np.array([2, 9]) / 12, np.array([12, 12])) == pytest.approx(expected, rel=1e-5)
    separated = 2 * np.log(12.5 / 0.5) / np.log(2)
    assert hill_slope(np.array([1, 2]), np.array([0, 1]), np.array([12, 12])) == pytest.approx(separated, rel=1e-5)


def test_the_slope_maximises_the_penalised_likelihood_of_single_trials():
    dose, dead, n = np.array([0.5, 1, 2, 4]), np.array([1, 4, 8, 10]) / 12, np.full(4, 12)
    slope = hill_slope(dose, dead, n)
    profile = {s: max(twin.penalised(dose, dead, n, s, m) for m in np.linspace(-1, 2, 301)) for s in (slope, 1.0, 2.5)}
    around = [max(twin.penalised(dose, dead, n, slope + d, m) for m in np.linspace(-1, 2, 301)) for d in (-0.1, 0.1)]
    assert profile[slope] > max(profile[1.0], profile[2.5], *around)


def test_the_slope_of_many_trials_is_the_planted_one():
    dose = np.array([0.25, 0.5, 1, 2, 4])
    planted = 1 / (1 + (1.2 / dose) ** 3)
    assert hill_slope(dose, planted, np.full(5, 100_000)) == pytest.approx(3, rel=1e-3)


def simulated(generator, lethal, n, spread, shared, alphas):
    """Lifetimes of many studies, named as methods: log tolerance is normal, part of it shared by a prompt's doses.

    The curve is written directly, since the sampling of deaths is what is tested here.
    """
    lives, curves = [], []
    for i, truth in enumerate(lethal):
        own = generator.normal(size=(n, 1)) * np.sqrt(shared) + generator.normal(size=(n, len(alphas))) * np.sqrt(
            1 - shared
        )
        died = np.log(alphas) > np.log(truth) + spread * own
        for alpha, dead in zip(alphas, died.T, strict=True):
            key = {"model": "m", "behavior": "b", "seed": 0, "method": f"{i}", "alpha": alpha, "coefficient": alpha}
            lives.append(
                pl.DataFrame({"prompt_id": [f"{p:03}" for p in range(n)], "died": dead}).with_columns(
                    pl.when("died").then(4).otherwise(64).alias("duration"),
                    pl.lit(False).alias("ended"),
                    pl.lit(0).alias("sample"),
                    **{name: pl.lit(value) for name, value in key.items()},
                )
            )
            alive = 1 - dead.mean()
            shares = {"survival": alive, "incidence": 1 - alive, "incidence_low": 0.0, "incidence_high": 1.0}
            curves.append({**key, "t": 64, "at_risk": n, **shares})
    return pl.concat(lives), pl.DataFrame(curves)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "spread", "shared", "alphas"),
    [
        (12, 0.5, 0.0, (0.25, 0.5, 1.0, 2.0, 4.0)),
        (12, 0.5, 0.8, (0.25, 0.5, 1.0, 2.0, 4.0)),
        (12, 0.05, 0.5, (0.25, 0.5, 1.0, 2.0, 4.0)),
        (24, 0.8, 0.5, (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)),
        (48, 0.3, 0.9, (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)),
    ],
    ids=["independent", "prompts_shared", "steep", "shallow", "many"],
)
def test_the_lethal_dose_is_unbiased_and_its_interval_covers(n, spread, shared, alphas):
    generator = np.random.default_rng(n)
    lethal = np.exp(generator.uniform(np.log(0.6), np.log(1.7), size=200))  # anywhere between doses
    lives, curve = simulated(generator, lethal, n, spread, shared, alphas)
    table = dose_response(curve, lives, exact(lives), confidence=0.95, safe_level=0.5)[1]
    found = table["ld50"].to_numpy()
    assert np.isfinite(found).all()
    error = np.log(found / lethal)
    assert abs(error.mean()) < 3 * error.std() / np.sqrt(len(error)) + 0.005
    low, high = table["ld50_low"].fill_null(0).to_numpy(), table["ld50_high"].fill_null(np.inf).to_numpy()
    covered = (low <= lethal) & (lethal <= high)
    assert covered.sum() >= 184, "95 % of 200 less two and a half standard deviations; more where the doses are coarse"


def test_twelve_methods_and_doses_of_a_thousand_prompts_fit_in_one_call():
    generator = np.random.default_rng(0)
    alphas = tuple(float(alpha) for alpha in np.geomspace(0.25, 4, 12))
    lives, curve = simulated(generator, np.geomspace(0.5, 2, 12), 1000, 0.5, 0.5, alphas)
    table = dose_response(curve, lives, exact(lives), confidence=0.95, safe_level=0.5)[1]
    assert (table["ld50"] / pl.Series(np.geomspace(0.5, 2, 12))).to_numpy() == pytest.approx(np.ones(12), rel=0.1)
