"""Effects: what is planted is found under its own name, and nothing else is."""

import numpy as np
import polars as pl
import pytest
from benefit_examples import CHOICE, MOOD, TEXT, choice_scores, frame, mood_scores
from scipy import stats
from steerdose.benefit.effects import effects, rows_of, split, sums_by_dose
from steerdose.errors import SteerdoseError


def one(scores, task, **where):
    found = effects({"t": scores}, {"t": task}, 0.95)
    (row,) = found.filter(**{"alpha": 1.0, **where}).iter_rows(named=True)
    return row


def noise(draw, n=40):
    return 0.1 * draw.normal(size=n)


def test_a_lean_to_yes_is_a_yes_shift_and_no_effect():
    row = one(choice_scores(lambda m, a, form, label, draw: 2 * ("letters" not in form) + noise(draw)), CHOICE)
    assert row["yes_shift"] == pytest.approx(2, abs=0.05)
    assert row["order_shift"] == pytest.approx(0, abs=0.05)
    assert row["effect_low"] < 0 < row["effect_high"]
    assert abs(row["effect"]) < 0.05


def test_the_shown_behavior_is_an_effect_and_no_lean():
    row = one(choice_scores(lambda m, a, form, label, draw: 1.5 * label + noise(draw)), CHOICE)
    assert row["effect"] == pytest.approx(1.5, abs=0.05)
    assert row["effect_low"] > 1.4
    assert row["q"] < 1e-6
    assert abs(row["yes_shift"]) < 0.05
    assert row["mean_shift"] == pytest.approx(row["effect"]), "labels are balanced"


def test_a_lean_to_the_first_letter_is_an_order_shift():
    row = one(choice_scores(lambda m, a, form, label, draw: 3 * ("letters" in form) + noise(draw)), CHOICE)
    assert row["order_shift"] == pytest.approx(3, abs=0.05)
    assert abs(row["effect"]) < 0.05
    assert abs(row["yes_shift"]) < 0.05


def test_with_unbalanced_labels_a_lean_is_in_the_mean_shift_and_not_in_the_effect():
    scores = choice_scores(lambda m, a, form, label, draw: 2 + noise(draw))
    odd = scores.filter((pl.col("form") != "turned") | (pl.col("item") < "i010"))
    row = one(odd.filter(~pl.col("form").str.contains("letters")), CHOICE)
    assert row["mean_shift"] > 1
    assert abs(row["effect"]) < 0.1
    assert row["yes_shift"] == pytest.approx(2, abs=0.1)


def test_both_signs_of_a_planted_effect_move_apart():
    def planted(m, alpha, form, label, draw):
        return alpha * label + noise(draw)

    found = effects({"t": choice_scores(planted, alphas=(0.0, 1.0, -1.0))}, {"t": CHOICE}, 0.95)
    up, down = (found.filter(alpha=alpha)["effect"][0] for alpha in (1.0, -1.0))
    assert up == pytest.approx(1, abs=0.05)
    assert down == pytest.approx(-1, abs=0.05)


def test_flips_count_both_ways_and_nothing_is_averaged_away():
    scores = choice_scores(lambda m, a, form, label, draw: np.where(np.arange(40) < 30, 9, -9) * label)
    row = one(scores, CHOICE)
    base = scores.filter(alpha=0.0, metric="logratio").with_columns(shown=pl.col("value") * pl.col("label"))
    up, down = pl.col("item") < "i030", pl.col("item") >= "i030"
    assert row["flips_for"] == base.filter(up, pl.col("shown") < 0).height
    assert row["flips_against"] == base.filter(down, pl.col("shown") > 0).height
    assert min(row["flips_for"], row["flips_against"]) > 0
    assert row["pmass"] == pytest.approx(0.8)


def test_a_broken_text_delivers_no_change_and_is_counted():
    row = one(mood_scores({1.0: (0.6, 0.5)}, noise=0), MOOD)
    assert row["effect"] == pytest.approx(0.3)
    assert row["broken"] == 0.5


def test_the_interval_and_p_of_a_mean_are_those_of_the_textbook():
    scores = mood_scores({1.0: 0.1}, noise=0.3)
    row = one(scores, MOOD)
    wide = scores.filter(metric="valence").pivot("alpha", index="item", values="value")
    change = wide["1.0"] - wide["0.0"]
    error = change.std() / np.sqrt(40)
    half = stats.t.ppf(0.975, 39) * error
    assert row["effect"] == pytest.approx(change.mean())
    assert row["effect_high"] - row["effect_low"] == pytest.approx(2 * half, rel=0.1)
    assert row["p"] == pytest.approx(stats.ttest_1samp(change, 0).pvalue, rel=0.5)
    assert row["detectable"] == pytest.approx((stats.t.ppf(0.975, 39) + stats.norm.ppf(0.8)) * error, rel=0.1)


def test_what_is_detectable_is_found_in_four_of_five_studies():
    """The promise itself, on simulated studies with an effect of just that size."""
    draw, found = np.random.default_rng(5), []
    size = (stats.t.ppf(0.975, 39) + stats.norm.ppf(0.8)) * 0.3 / np.sqrt(40)
    for _ in range(150):
        base = np.zeros(40)
        change = size + 0.3 * draw.normal(size=40)
        scores = [frame("one", a, "", None, "valence", y) for a, y in ((0.0, base), (1.0, base + change))]
        found.append(one(pl.concat(scores), MOOD)["effect_low"] > 0)
    assert 0.7 < np.mean(found) < 0.9


def test_no_effect_is_found_in_about_one_of_twenty_studies():
    draw, found = np.random.default_rng(6), []
    for _ in range(200):
        scores = [frame("one", a, "", None, "nll", y) for a, y in ((0.0, np.zeros(40)), (1.0, draw.normal(size=40)))]
        row = one(pl.concat(scores), TEXT, measure="nll")
        found.append(row["p"] < 0.05)
    assert 0.01 < np.mean(found) < 0.1


def test_q_corrects_over_methods_and_doses_of_one_measure():
    def planted(method, alpha, form, label, draw):
        return (method == "one") * 0.2 * label + draw.normal(size=40)

    found = effects({"t": choice_scores(planted, methods=("one", "two", "three"))}, {"t": CHOICE}, 0.95)
    tested = found.drop_nulls("p")
    assert tested.height == 6
    assert tested.select("p", "q").equals(
        tested.select("p", pl.Series("q", stats.false_discovery_control(tested["p"].to_numpy())))
    )


def test_methods_with_other_items_are_refused():
    scores = choice_scores(lambda *_: 0, methods=("one", "two"))
    with pytest.raises(SteerdoseError, match=r"expected the same items at every dose of every method.*two at alpha 1"):
        rows_of(
            scores.filter((pl.col("method") != "two") | (pl.col("alpha") != 1) | (pl.col("item") != "i003")),
            CHOICE,
            "shift",
        )
    with pytest.raises(SteerdoseError, match="expected the same items"):
        rows_of(pl.concat([scores, scores]), CHOICE, "shift")


def test_sums_of_all_methods_have_the_same_clusters():
    sums = sums_by_dose(rows_of(choice_scores(lambda *_: 1, methods=("one", "two")), CHOICE, "shift"), CHOICE)
    assert {name: list(doses) for name, doses in sums.items()} == {"one": [1.0, 2.0], "two": [1.0, 2.0]}
    assert sums["two"][2.0].values[:, 0].sum() == 4 * 40


@pytest.mark.parametrize("n", [2, 7, 40])
def test_halves_are_as_large_and_share_no_cluster(n):
    one, other = split(n)
    assert (one.sum(1) == n // 2).all()
    assert (other.sum(1) == n // 2).all()
    assert not (one * other).any()
    assert len(np.unique(one, axis=0)) > 1
