import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import CoxPHFitter, LogLogisticAFTFitter, WeibullAFTFitter
from lifelines.datasets import load_rossi
from steerdose.survival.hazards import COLUMNS, DOSE, STEP, aft, cox, hazard_table, unbounded
from steerdose.survival.lifetimes import death_intervals

GRID = [0, 1, 2, 3, 5, 8, 13, 23, 38, 64, 128]
INF = float("inf")


def group(alpha, observations, method="lora", coefficient=1.0):
    """Lifetimes of one dose from (duration, died) pairs, one a prompt."""
    return pl.DataFrame(
        [
            {"model": "m", "behavior": "b", "seed": 0, "method": method, "alpha": float(alpha)}
            | {
                "coefficient": coefficient,
                "prompt_id": f"p{i}",
                "sample": 0,
                "duration": t,
                "died": dead,
                "ended": False,
            }
            for i, (t, dead) in enumerate(observations)
        ],
        schema_overrides={"coefficient": pl.Float64},
    )


ALIVE, DEAD = (128, False), (0, True)


def table(*groups, **options):
    return hazard_table(pl.concat(groups), GRID, **options)


def rows(*groups):
    return table(*groups).select("methods", "fit", "term", "estimate", "note").rows()


def test_cox_by_hand():
    # Dead in the order x = 1, 0, 1: u / ((2u + 1) (1 + u)), u the hazard ratio, is largest at u = 1 / sqrt(2).
    lives = pl.concat([group(STEP, [(1, True), (8, True)]), group(1, [(3, True)])])
    (row,) = cox(lives)
    assert row["term"] == DOSE
    assert row["estimate"] == pytest.approx(0.5**0.5, rel=1e-3)
    assert row["low"] < row["estimate"] < row["high"]


def rossi():
    """lifelines' data on arrests after release from prison: age becomes the dose, financial aid the method."""
    data = load_rossi()
    lives = pl.DataFrame(
        {
            **{"alpha": STEP ** data["age"].to_numpy(), "method": np.where(data["fin"] == 1, "aid", "none")},
            **{"duration": data["week"].to_numpy(), "died": data["arrest"].to_numpy() == 1},
            "prompt_id": [str(i) for i in range(len(data))],
        }
    )
    return data, lives.sort("method", descending=True)  # so that "none" is the reference


def test_cox_on_rossi_is_lifelines_own():
    data, lives = rossi()
    fit = CoxPHFitter().fit(data[["week", "arrest", "age", "fin"]], "week", "arrest")
    found = {row["term"]: row for row in cox(lives)}
    assert list(found) == [DOSE, "aid instead of none"]
    for term, column in zip(found, ("age", "fin"), strict=True):
        assert found[term]["estimate"] == pytest.approx(fit.hazard_ratios_[column], rel=1e-4)
    assert found[DOSE]["low"] < fit.hazard_ratios_["age"] < found[DOSE]["high"]


def test_aft_on_rossi_is_lifelines_own():
    data, lives = rossi()
    lives = lives.with_columns(
        after=pl.when("died").then(pl.col("duration") - 1).otherwise("duration").cast(pl.Float64),
        until=pl.when("died").then(pl.col("duration").cast(pl.Float64)).otherwise(INF),
    )
    frame = data[["age", "fin"]].assign(
        low=np.where(data["arrest"] == 1, data["week"], data["week"] + 1),
        high=np.where(data["arrest"] == 1, data["week"] + 1, np.inf),
    )
    fits = {
        "Weibull AFT": WeibullAFTFitter().fit_interval_censoring(frame, "low", "high"),
        "log-logistic AFT": LogLogisticAFTFitter().fit_interval_censoring(frame, "low", "high"),
    }
    best = min(fits, key=lambda name: fits[name].AIC_)
    params = fits[best].params_.droplevel(0)
    for row, column in zip(aft(lives), ("age", "fin"), strict=True):
        assert row["fit"] == best
        assert row["aic"] == pytest.approx(fits[best].AIC_, rel=1e-6)
        assert row["estimate"] == pytest.approx(np.exp(params[column]), rel=1e-3)


def test_the_order_of_rows_does_not_matter():
    lives = death_intervals(simulated(2, 1, 12, GRID, np.random.default_rng(3)), GRID)
    shuffled = lives.sample(fraction=1.0, shuffle=True, seed=1).sort("method", maintain_order=True)
    for fit in (cox, aft):
        for one, other in zip(fit(lives), fit(shuffled), strict=True):
            for name in ("estimate", "low", "high", "p"):
                assert one[name] == pytest.approx(other[name], rel=1e-5)


def test_a_steep_response_is_not_held_up_by_an_end_of_time():
    """All live at the lower doses and few at the highest: the open ends of the living are infinite."""
    groups = [group(alpha, [ALIVE] * 12) for alpha in (1, 1.25, 1.5)]
    steep = pl.concat([*groups, group(1.75, [(8, True)] + [ALIVE] * 11), group(2, [(5, True)] * 11 + [ALIVE])])
    (found,) = aft(death_intervals(steep, GRID))
    at_2 = [row["estimate"] for row in aft(death_intervals(steep.filter(pl.col("alpha") >= 1.5), GRID))]
    assert found["estimate"] == pytest.approx(at_2[0], rel=0.05), "the doses at which nobody dies add nothing"
    assert found["p"] < 1e-6


def simulated(power, shape, prompts, times, generator, factor=1.0):
    """Lifetimes at 5 doses under two methods, read at forks: hazard ~ alpha^power, and `factor` times it.

    One more token is Weibull, as the AFT model has it.
    """
    groups = []
    for method, level in (("a", 1.0), ("b", factor)):
        for alpha in (0.5, 0.75, 1, 1.5, 2):
            hazard = level * alpha**power
            lived = 40 * (generator.exponential(size=prompts) / hazard) ** (1 / shape) - 1
            forks = np.array([*times, 10**6])[np.searchsorted(times, lived)]
            observations = [(int(min(t, times[-1])), bool(t <= times[-1])) for t in forks]
            groups.append(group(alpha, observations, method))
    return pl.concat(groups)


def test_known_ratios_are_recovered():
    power, shape, factor = 3, 1.5, 2.0
    times = list(range(0, 129, 4))  # few ties, since Efron's approximation draws ratios a little towards 1
    lives = simulated(power, shape, 80, times, np.random.default_rng(1), factor=factor)
    found = {(r["fit"], r["term"]): r for r in hazard_table(lives, times).filter(methods="all").to_dicts()}
    truth = {
        ("Cox", DOSE): STEP**power,
        ("Cox", "b instead of a"): factor,
        ("Weibull AFT", DOSE): STEP ** (-power / shape),
        ("Weibull AFT", "b instead of a"): factor ** (-1 / shape),
    }
    assert found.keys() == truth.keys()
    for key, ratio in truth.items():
        assert found[key]["low"] < ratio < found[key]["high"], key
        assert found[key]["estimate"] == pytest.approx(ratio, rel=0.2)
        assert found[key]["p"] < 0.001


@pytest.mark.slow
def test_cox_intervals_hold_the_truth_with_few_prompts():
    generator = np.random.default_rng(0)
    found = [cox(simulated(2, 1, 12, GRID, generator, factor=2.0)) for _ in range(60)]
    for i, ratio in ((0, STEP**2), (1, 2.0)):
        assert np.mean([fit[i]["low"] < ratio < fit[i]["high"] for fit in found]) > 0.95 - 3 * (0.95 * 0.05 / 60) ** 0.5


def test_confidence_widens_the_interval():
    lives = simulated(2, 1, 20, GRID, np.random.default_rng(0))
    narrow, wide = (cox(lives, level)[0] for level in (0.5, 0.99))
    assert narrow["estimate"] == wide["estimate"]
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]


def test_prompts_that_fare_alike_do_not_give_certainty():
    # Every prompt dies at the same forks, so the error clustered by prompt is nearly 0.
    times = {0.5: (64, True), 1: (8, True), 1.5: (23, True), 2: (3, True)}
    lives = pl.concat([group(alpha, [each] * 12) for alpha, each in times.items()])
    (row,) = cox(lives)
    frame = pd.DataFrame({"x": np.log(lives["alpha"]) / np.log(STEP), "t": lives["duration"], "d": lives["died"]})
    model = CoxPHFitter().fit(frame, "t", "d").standard_errors_["x"]
    frame["prompt"] = lives["prompt_id"].to_list()
    assert CoxPHFitter().fit(frame, "t", "d", cluster_col="prompt").standard_errors_["x"] < model / 3
    assert np.log(row["high"] / row["low"]) == pytest.approx(2 * 1.96 * model, rel=1e-4)


def test_doses_that_kill_all_or_none_have_no_ratio():
    """0 of 12 up to alpha 1.5, 12 of 12 from 2: the likelihood rises without end."""
    groups = [group(alpha, [ALIVE] * 12) for alpha in (0.5, 1, 1.5)]
    found = rows(*groups, *[group(alpha, [DEAD] * 12) for alpha in (2, 3)])
    assert [row[:4] for row in found] == [("lora", "Cox", DOSE, None), ("lora", "AFT", DOSE, None)]
    assert all("complete separation" in row[4] for row in found)
    # A straight line of log time cannot fall from 1.5 to 2 and then stay between two forks: AFT has a best ratio.
    cox_row, aft_row = rows(*groups, *[group(alpha, [(64, True)] * 12) for alpha in (2, 3)])
    assert "complete separation" in cox_row[4]
    assert 0 < aft_row[3] < 1


def test_overlap_at_one_dose_is_not_enough_and_at_two_is():
    groups = [group(1, [ALIVE] * 12), group(3, [DEAD] * 12), group(1.5, [DEAD] * 6 + [ALIVE] * 6)]
    assert all("complete separation" in row[4] for row in rows(*groups))
    found = rows(*groups, group(2, [DEAD] * 9 + [ALIVE] * 3))
    assert found[0][3] > 1
    assert found[0][4] is None
    assert "did not converge" in found[1][4], "dead at once or alive to the end: no time ratio is the likeliest"
    later = group(2, [(23, True)] * 9 + [ALIVE] * 3)
    assert 0 < rows(*groups, later)[1][3] < 1


@pytest.mark.parametrize(
    ("groups", "note"),
    [
        ([group(1, [ALIVE] * 4), group(2, [ALIVE] * 4)], "nobody died"),
        ([group(1, [DEAD] * 2 + [ALIVE] * 2)], "one dose only"),
        ([group(1, [DEAD] * 4), group(2, [DEAD] * 4)], "complete separation"),
        ([group(1, [DEAD]), group(2, [ALIVE])], "complete separation"),
    ],
    ids=["no_deaths", "one_dose", "all_dead_at_once", "two_trajectories"],
)
def test_what_cannot_be_fitted_is_said_in_words(groups, note):
    found = rows(*groups)
    assert [row[:4] for row in found] == [("lora", "Cox", DOSE, None), ("lora", "AFT", DOSE, None)]
    assert all(note in row[4] for row in found)


def mixed(method):
    return [
        group(1, [(64, True), (23, True), ALIVE, ALIVE], method),
        group(2, [(8, True), (38, True), DEAD, ALIVE], method),
    ]


def test_a_method_without_deaths_is_left_out_of_the_joint_fit():
    safe = [group(alpha, [ALIVE] * 4, "safe") for alpha in (1, 2)]
    found = table(*safe, *mixed("a"), *mixed("b")).filter(methods="all")
    for fit in found.partition_by("ratio", maintain_order=True):
        assert fit["term"].to_list() == [DOSE, "b instead of a", "safe instead of a"]
        assert fit["note"].to_list() == [None, None, "nobody died"]
        assert fit["estimate"][1] == pytest.approx(1, abs=0.02)  # b is a copy of a
    without = table(*mixed("a"), *mixed("b")).filter(methods="all")
    numbers = ["estimate", "low", "high", "p", "aic"]
    assert found.filter(pl.col("term") != "safe instead of a").select(numbers).equals(without.select(numbers))


def test_one_dose_still_compares_methods():
    found = rows(*[group(1, [(8, True), (3, True), ALIVE], "a"), group(1, [(23, True), ALIVE, ALIVE], "b")])
    assert ("all", "Cox", DOSE, None, "one dose only") in found
    ratio = next(row for row in found if row[1] == "Cox" and row[2] == "b instead of a")
    assert 0 < ratio[3] < 1


def test_what_is_fitted():
    unsteered = group(0, [ALIVE, DEAD, DEAD, ALIVE], coefficient=0.0)
    prompt = group(1, [DEAD] * 4, "prompt", None)
    negative = [each.with_columns(alpha=-pl.col("alpha")) for each in mixed("lora")]
    found = table(unsteered, prompt, *mixed("lora"), *negative)
    assert found.schema == COLUMNS
    assert found.select("sign", "methods", "ratio", "n", "died").rows() == [
        (sign, "lora", ratio, 8, 5) for sign in ("positive", "negative") for ratio in ("hazard", "time")
    ]
    assert found.filter(sign="positive")["estimate"].equals(found.filter(sign="negative")["estimate"])
    assert hazard_table(prompt, GRID).schema == COLUMNS
    assert hazard_table(prompt, GRID).is_empty()


def test_names_that_look_like_formulas_are_only_names():
    found = table(*mixed("-1"), *mixed("a.b - 1"))
    assert found.filter(methods="all")["term"].to_list() == [DOSE, "a.b - 1 instead of -1"] * 2
    assert found["note"].null_count() == found.height


@pytest.mark.parametrize(
    ("directions", "expected"),
    [
        ([[1, 0], [-1, 0], [0, 1], [0, -1]], [False, False]),
        ([[1, 0], [0, 1], [0, -1]], [True, False]),
        ([[1, -1], [-1, 1]], [True, True]),  # only the difference is bounded
        ([[1, 1], [-1, 1], [0, -1]], [False, False]),
    ],
)
def test_unbounded_directions_by_hand(directions, expected):
    assert unbounded(np.array(directions, dtype=float), 2).tolist() == expected


@settings(max_examples=5)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.5, 1, 2]), st.one_of(st.just(ALIVE), st.sampled_from([(0, True), (8, True)]))),
        min_size=3,
        max_size=12,
    )
)
def test_a_ratio_is_either_explained_or_stands_in_its_interval(observations):
    alphas = sorted({alpha for alpha, _ in observations})
    found = table(*[group(alpha, [each for a, each in observations if a == alpha]) for alpha in alphas])
    for row in found.to_dicts():
        if row["note"]:
            assert [row[name] for name in ("estimate", "low", "high", "p", "aic")] == [None] * 5
        else:
            assert 0 <= (row["low"] or 0) <= row["estimate"] <= (row["high"] or INF)
            assert 0 <= row["p"] <= 1


def test_thousands_of_trajectories_are_one_table():
    lives = simulated(2, 1, 1000, GRID, np.random.default_rng(0), factor=2.0)
    found = hazard_table(lives, GRID)
    assert found["n"].to_list() == [5000, 5000, 5000, 5000, *[10_000] * 4]
    assert found["note"].null_count() == found.height


def test_intervals_are_those_of_the_forks():
    lives = death_intervals(pl.concat(mixed("a")), GRID)
    assert lives["after"].min() == -1
    assert set(lives.filter("died")["until"]) <= set(GRID)
