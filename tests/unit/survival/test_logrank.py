import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines.datasets import load_waltons
from lifelines.statistics import logrank_test
from scipy.stats import false_discovery_control, norm, permutation_test
from steerdose.errors import SteerdoseError
from steerdose.survival.logrank import COLUMNS, compare, holm, logrank_table, sign_flip_p

CELL = {"model": "m", "behavior": "b", "seed": 0}


def group(durations, died, method="lora", alpha=1.0, coefficient=2.0, **cell):
    return pl.DataFrame(
        [
            {**CELL, **cell, "method": method, "alpha": alpha, "coefficient": coefficient}
            | {"prompt_id": f"p{i}", "sample": 0, "duration": duration, "died": bool(dead), "ended": False}
            for i, (duration, dead) in enumerate(zip(durations, died, strict=True))
        ],
        schema_overrides={"coefficient": pl.Float64},
    )


lives = st.lists(
    st.tuples(st.sampled_from([0, 1, 3, 8, 20]), st.booleans(), st.sampled_from([0, 1, 3, 8, 20]), st.booleans()),
    min_size=2,
    max_size=9,
)


def split(observations):
    times_a, died_a, times_b, died_b = zip(*observations, strict=True)
    return group(times_a, died_a), group(times_b, died_b)


def test_documented_example_of_lifelines():
    a = group([1, 4, 10, 12, 12, 3, 5.4], [1, 0, 1, 0, 1, 1, 1])
    b = group([4, 5, 7, 11, 14, 20, 8, 8], [1, 1, 1, 1, 1, 1, 1, 1])
    found = compare(a, b)
    assert found["p"] == pytest.approx(0.7676, abs=1e-4)
    assert found["chi2"] == pytest.approx(0.0872, abs=1e-4)


def test_waltons_fruit_flies_differ_as_documented():
    flies = load_waltons()
    sides = [flies[flies["group"] == name] for name in ("miR-137", "control")]
    found = compare(*[group(side["T"], side["E"]) for side in sides])
    assert found["chi2"] == pytest.approx(122.249, abs=1e-3)
    assert found["p"] == pytest.approx(2.036e-28, rel=1e-3)
    assert found["excess_b"] < 0  # the control lives longer


def test_two_against_two_by_hand():
    # At 1: 1 of 2 + 2 at risk dies, in a; expected in b 2/4. At 3: the other of a, expected in b 2/3. Then b alone.
    found = compare(group([1, 3], [1, 1]), group([8, 20], [1, 0]))
    assert found["excess_b"] == pytest.approx(1 - (2 / 4 + 2 / 3 + 2 / 2))
    variance = 1 / 4 + (2 / 3) * (1 / 3)
    assert found["chi2"] == pytest.approx(found["excess_b"] ** 2 / variance)
    assert (found["n_a"], found["died_a"], found["n_b"], found["died_b"]) == (2, 2, 2, 1)
    # Both pairs point the same way: of 4 sign patterns 2 are as extreme.
    assert (found["pairs"], found["p_paired"]) == (2, 0.5)
    assert "under 5 deaths" in found["note"]


@settings(max_examples=25)
@given(lives)
def test_test_is_that_of_lifelines_and_excess_is_symmetric(observations):
    a, b = split(observations)
    there, back = compare(a, b), compare(b, a)
    if "p" not in there:
        return
    expected = logrank_test(a["duration"], b["duration"], a["died"], b["died"])
    assert (there["p"], back["p"]) == pytest.approx((expected.p_value, expected.p_value))
    assert there["excess_b"] == pytest.approx(-back["excess_b"])
    assert there["p_paired"] == pytest.approx(back["p_paired"])
    if there["died_b"] == 0:
        assert there["excess_b"] < 0


@settings(max_examples=25)
@given(lives)
def test_paired_p_is_that_of_swapping_every_pair_and_testing_again(observations):
    """The excess of the log-rank test, recomputed from its table for each of the 2^n swaps."""
    a, b = split(observations)
    found = compare(a, b)
    if "p" not in found:
        return

    def excess(swaps):
        times = [(y, x) if swap else (x, y) for (x, _, y, _), swap in zip(observations, swaps, strict=True)]
        died = [(y, x) if swap else (x, y) for (_, x, _, y), swap in zip(observations, swaps, strict=True)]
        total = 0.0
        for t in {each[side] for each in times for side in (0, 1)}:
            at_risk = [sum(each[side] >= t for each in times) for side in (0, 1)]
            deaths = [
                sum(each[side] == t and dead[side] for each, dead in zip(times, died, strict=True)) for side in (0, 1)
            ]
            total += deaths[1] - sum(deaths) * at_risk[1] / max(sum(at_risk), 1)
        return total

    swapped = [excess(swaps) for swaps in itertools.product((False, True), repeat=len(observations))]
    assert found["excess_b"] == pytest.approx(swapped[0])
    assert found["p_paired"] == pytest.approx(np.mean(np.abs(swapped) >= abs(swapped[0]) - 1e-9))


@given(st.lists(st.sampled_from([-1.5, -0.5, 0.0, 0.25, 1.0, 3.0]), min_size=2, max_size=8))
def test_sign_flips_equal_scipy(differences):
    expected = permutation_test(
        (np.array(differences), np.zeros(len(differences))),
        lambda x, y, axis: np.abs((x - y).sum(axis=axis)),
        permutation_type="samples",
        vectorized=True,
        alternative="greater",
    )
    assert sign_flip_p(np.array(differences)) == pytest.approx(expected.pvalue)


def test_many_sign_flips_are_drawn_and_repeatable():
    differences = np.random.default_rng(0).normal(0.2, 1, 40)
    p = sign_flip_p(differences)
    assert p == sign_flip_p(differences)
    normal = differences.sum() / np.sqrt((differences**2).sum())
    assert p == pytest.approx(2 * norm.sf(abs(normal)), abs=0.03)
    assert sign_flip_p(np.ones(40)) == 1e-4  # the observed pattern alone


def test_pairing_sees_what_the_log_rank_test_cannot():
    # Prompts differ much more than doses: each dies one fork earlier under b.
    times = np.arange(2, 26, 2)
    found = compare(group(times, [True] * 12), group(times - 1, [True] * 12))
    assert found["p"] > 0.3
    assert found["p_paired"] < 0.01


def test_level_of_both_tests_under_equal_groups():
    generator = np.random.default_rng(0)
    found = []
    for _ in range(100):
        lived = np.minimum(2 ** generator.integers(0, 9, (2, 12)), 128)
        found.append(compare(*[group(side, side < 128) for side in lived]))
    for name in ("p", "p_paired"):
        assert np.mean([each[name] < 0.05 for each in found]) < 0.05 + 3 * (0.05 * 0.95 / 100) ** 0.5


@pytest.mark.parametrize(
    ("a", "b", "note"),
    [
        (([128] * 3, [0] * 3), ([128] * 3, [0] * 3), "nobody died"),
        (([0] * 3, [1] * 3), ([0] * 3, [1] * 3), "no fork tells them apart"),
        (([2] * 3, [0] * 3), ([8] * 3, [1] * 3), "no fork tells them apart"),
    ],
    ids=["none_dead", "all_dead_at_once", "never_at_risk_together"],
)
def test_groups_that_cannot_be_compared_get_words(a, b, note):
    found = compare(group(*a), group(*b))
    assert found["note"].startswith(note)
    assert found.keys() == {"n_a", "died_a", "n_b", "died_b", "note"}


def test_all_dead_against_none_dead():
    found = compare(group([128] * 12, [0] * 12), group([0] * 12, [1] * 12))
    assert found["excess_b"] == pytest.approx(6)
    assert found["p"] < 1e-5
    assert found["p_paired"] == 2 / 2**12
    assert found["note"] is None


def test_holm_by_hand():
    assert holm([0.01, None, 0.04, 0.03, 0.005]) == pytest.approx([0.03, None, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([None]) == [None]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_no_correction_and_bonferroni(p):
    corrected = holm(p)
    for value, adjusted in zip(p, corrected, strict=True):
        assert value <= adjusted <= min(1, value * len(p)) + 1e-12
    assert np.all(np.array(corrected) >= false_discovery_control(p) - 1e-12)


def study(alphas=(0.0, 1.0, 2.0), methods=("lora", "mean_diff")):
    """No deaths up to alpha 1, at 2 all die; and a prompt."""
    groups = [
        group([0, 2, 8] if alpha > 1 else [128] * 3, [alpha > 1] * 3, method, alpha, alpha)
        for method in methods
        for alpha in alphas
    ]
    prompts = [group([128] * 3, [False] * 3, "prompt", a, None if a else 0.0) for a in (-1.0, 0.0, 1.0)]
    return pl.concat(groups + prompts)


SETS = {"methods": ("lora", "mean_diff", "prompt")}


def test_what_is_compared():
    table = logrank_table(study(), SETS)
    assert table.schema == COLUMNS
    groups = table.select("comparison", "method_a", "alpha_a", "method_b", "alpha_b").rows()
    lora, diff, prompt = "lora", "mean_diff", "prompt"
    assert groups == [
        ("unsteered", lora, 0, lora, 1), ("unsteered", lora, 0, lora, 2),
        ("unsteered", diff, 0, diff, 1), ("unsteered", diff, 0, diff, 2),
        ("unsteered", prompt, 0, prompt, -1), ("unsteered", prompt, 0, prompt, 1),
        ("neighbours", lora, 0, lora, 1), ("neighbours", lora, 1, lora, 2),
        ("neighbours", diff, 0, diff, 1), ("neighbours", diff, 1, diff, 2),
        ("methods", lora, 1, diff, 1), ("methods", lora, 2, diff, 2),
        ("methods", lora, 1, prompt, 1), ("methods", diff, 1, prompt, 1),
    ]  # fmt: skip
    tested = table.filter(comparison="unsteered").drop_nulls("p")
    assert tested["p_holm"].to_list() == pytest.approx((2 * tested["p"]).to_list())
    few = table.filter(pl.col("died_a") + pl.col("died_b") < 5)
    assert few["note"].null_count() == 0
    silent = table.filter(pl.col("p").is_null())
    assert silent.select("chi2", "p_holm", "p_paired", "p_paired_holm").null_count().row(0) == (silent.height,) * 4


def test_named_sets_are_compared_within_themselves_and_corrected_by_themselves():
    methods = [f"part_{i}" for i in range(6)]
    lives = study((1.0, 2.0), methods)
    sets = {"first": ("part_1", "part_0", "prompt"), "second": ("part_4", "part_5", "absent")}
    table = logrank_table(lives, sets)
    named = table.filter(pl.col("comparison").is_in(list(sets)))
    assert named.select("comparison", "method_a", "method_b", "alpha_a").rows() == [
        ("first", "part_0", "part_1", 1), ("first", "part_0", "part_1", 2),
        ("first", "part_0", "prompt", 1), ("first", "part_1", "prompt", 1),
        ("second", "part_4", "part_5", 1), ("second", "part_4", "part_5", 2),
    ]  # fmt: skip
    every = logrank_table(lives, {"methods": methods})
    assert every.filter(comparison="methods").height == 15 * 2
    doses = pl.col("comparison").is_in(["unsteered", "neighbours"])
    assert table.filter(doses).equals(every.filter(doses)), "comparisons of doses stay within each method"
    assert logrank_table(lives, {}).filter(~doses).is_empty()


@pytest.mark.parametrize("name", ["unsteered", "neighbours"])
def test_a_set_cannot_take_the_name_of_a_comparison_of_doses(name):
    with pytest.raises(SteerdoseError, match=f"comparisons: '{name}' is the name of a comparison of doses"):
        logrank_table(study(), {name: ("lora", "mean_diff")})


def test_cells_are_separate_families():
    other = study().with_columns(seed=pl.lit(1, pl.Int64))
    both = logrank_table(pl.concat([other, study()]), SETS)
    assert both["seed"].to_list() == sorted(both["seed"])
    assert both.filter(seed=0).equals(logrank_table(study(), SETS))
    assert both.filter(seed=1).drop("seed").equals(logrank_table(study(), SETS).drop("seed"))


@pytest.mark.parametrize(
    ("alphas", "methods", "rows"), [((1.0,), ("lora",), 3), ((0.0,), ("lora",), 2), ((2.0, 4.0), ("lora",), 3)]
)
def test_one_method_and_one_alpha(alphas, methods, rows):
    table = logrank_table(study(alphas, methods), SETS)
    assert table.schema == COLUMNS
    assert table.height == rows


def test_nothing_to_compare():
    table = logrank_table(group([8], [True]), SETS)
    assert table.is_empty()
    assert table.schema == COLUMNS
