"""Methods beside each other on the same items: planted differences are found, equal methods are not told apart."""

import benefit_examples as examples
import numpy as np
import polars as pl
import pytest
from scipy.stats import ttest_rel
from steerdose.benefit.claims import NO_ORDER, between_models, claims, decided, difference
from steerdose.benefit.contrasts import NOTHING, bought, contrasts
from steerdose.benefit.effects import rows_of, sums_by_dose
from steerdose.errors import SteerdoseError

SETS = {"methods": ("one", "two", "three")}


def cells(changes, seeds=1, n=60, noise=0.3, start=0):
    """Sums of a cell a seed: each method's (items,) change is its planted mean, or one a seed, and noise of its own."""
    found = []
    for seed in range(seeds):
        frames = []
        for place, (method, planted) in enumerate(changes.items()):
            mean = planted[seed] if isinstance(planted, tuple) else planted
            draw = np.random.default_rng([start, seed, place])
            base = np.random.default_rng(start).normal(size=n)
            frames.append(examples.frame(method, 0.0, "", None, "valence", base))
            frames.append(examples.frame(method, 1.0, "", None, "valence", base + mean + noise * draw.normal(size=n)))
        found.append(sums_by_dose(rows_of(pl.concat(frames), examples.MOOD, "valence"), examples.MOOD))
    return found


def compared(changes, seeds=1, sets=SETS, **more):
    given = cells(changes, seeds, **more)
    doses = [dict.fromkeys(changes, 1.0)] * seeds
    return {(row["method"], row["against"]): row for row in contrasts(bought(given, doses, "positive"), sets, 0.95)}


def test_a_pair_is_a_paired_test_over_items():
    given = cells({"one": 0.4, "two": 0.1})
    (found,) = (row for pair, row in compared({"one": 0.4, "two": 0.1}).items() if pair == ("one", "two"))
    changes = [given[0][name][1.0].values[0, 3] for name in ("one", "two")]
    expected = ttest_rel(*changes)
    assert found["effect"] == pytest.approx(np.mean(changes[0] - changes[1]))
    low, high = expected.confidence_interval()
    assert (found["effect_low"], found["effect_high"]) == (pytest.approx(low, abs=0.02), pytest.approx(high, abs=0.02))
    assert np.log(found["p"]) == pytest.approx(np.log(expected.pvalue), rel=0.15)


def test_what_is_planted_over_seeds_is_found_and_equals_are_not_told_apart():
    found = compared({"one": (0.4, 0.5, 0.45), "two": (0.2, 0.1, 0.2), "three": (0.15, 0.15, 0.2)}, seeds=3)
    assert [*found] == [(name, NOTHING) for name in SETS["methods"]] + [
        ("one", "two"),
        ("one", "three"),
        ("two", "three"),
    ]
    assert found["one", NOTHING]["effect"] == pytest.approx(0.45, abs=0.1)
    assert found["one", "two"]["effect_low"] > 0.1
    assert found["one", "two"]["q"] < 0.001
    assert (found["one", "two"]["agreeing"], found["one", "two"]["by_chance"]) == (3, 0.25)
    assert found["two", "three"]["effect_low"] < 0 < found["two", "three"]["effect_high"]
    assert found["two", "three"]["q"] > 0.05


def test_seeds_that_differ_widen_the_interval():
    steady = compared({"one": (0.3, 0.3, 0.3)}, seeds=3)["one", NOTHING]
    shaky = compared({"one": (0.9, 0.0, 0.0)}, seeds=3)["one", NOTHING]
    assert shaky["effect"] == pytest.approx(steady["effect"], abs=0.05)
    assert shaky["effect_high"] - shaky["effect_low"] > 3 * (steady["effect_high"] - steady["effect_low"])
    signs = np.sign(bought(cells({"one": (0.9, 0.0, 0.0)}, 3), [{"one": 1.0}] * 3, "positive")["one"].each)
    assert shaky["agreeing"] == max((signs > 0).sum(), (signs < 0).sum())


def test_equal_methods_are_called_different_in_about_one_study_of_twenty():
    wrong = sum(
        compared({"one": 0.2, "two": 0.2}, start=start, n=40)["one", "two"]["p"] < 0.05 for start in range(1, 201)
    )
    assert 2 <= wrong <= 22, "95 % of studies have 10 +- 6 of 200"


def test_the_negative_sign_turns_effects_around_and_a_method_without_a_dose_does_nothing():
    given = cells({"one": -0.4, "two": -0.2})
    given = [{name: {-1.0: own[1.0]} for name, own in given[0].items()}]
    found = bought(given, [{"one": -1.0}], "negative")
    assert found["one"].each[0] == pytest.approx(0.4, abs=0.1)
    assert not found["two"].drawn.any()


def test_seeds_with_other_items_are_refused():
    one, other = cells({"one": 0.1}, n=60)[0], cells({"one": 0.1}, n=50)[0]
    with pytest.raises(SteerdoseError, match=r"same items in all seeds, found \[50, 60\]"):
        bought([one, other], [{"one": 1.0}] * 2, "positive")


GROUPS = {"lora": "adapter", "oft": "adapter", "mean_diff": "activation", "simple": "prompt", "random": "control"}


def rows(effects, seeds=3, width=0.05, agreeing=None):
    """Contrasts with known effects; differences larger than `width` are decided."""
    shared = {"seeds": seeds, "by_chance": 0.25, "agreeing": seeds if agreeing is None else agreeing}

    def row(method, against, effect):
        interval = {"effect": effect, "effect_low": effect - width, "effect_high": effect + width}
        return {"method": method, "against": against, **interval, "q": 0.001 if abs(effect) > width else 0.6, **shared}

    names = list(effects)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    alone = [row(name, "", effect) for name, effect in effects.items()]
    return alone + [row(a, b, effects[a] - effects[b]) for a, b in pairs]


def verdicts(effects, **more):
    return {claim["rule"]: claim["verdict"] for claim in claims(rows(effects, **more), GROUPS, 0.05)}


def test_every_rule_says_who_wins_who_loses_and_what_is_not_decided():
    assert verdicts({"lora": 0.5, "mean_diff": 0.3, "simple": 0.1, "random": 0.1}) == {
        "weights against prompts": "weights beat the prompt",
        "activations against prompts": "activations beat the prompt",
        "weights against activations": "weights beat activations",
        "the best steering against a random push": "more than a random push",
    }
    assert verdicts({"simple": 0.3, "lora": 0.1, "mean_diff": 0.28, "random": 0.27}) == {
        "weights against prompts": "the prompt beats weights",
        "activations against prompts": "prompting is the simpler means",
        "weights against activations": "activations beat weights",
        "the best steering against a random push": "no more than a random push",
    }
    assert verdicts({"lora": 0.3, "mean_diff": 0.31})["weights against activations"] == "activations match weights"
    assert verdicts({"lora": 0.0, "simple": 0.0}) == {"weights against prompts": "neither buys anything"}


def test_a_sentence_has_the_numbers():
    (claim,) = claims(rows({"lora": 0.5, "simple": 0.1}), GROUPS, 0.05)
    assert claim["sentence"] == (
        "lora buys more than simple: difference 0.4 (0.35 to 0.45), q 0.001, 3 of 3 seeds agree (by chance 25%)."
    )
    (claim,) = claims(rows({"lora": 0.1, "simple": 0.5}), GROUPS, 0.05)
    assert claim["sentence"].startswith("simple buys more than lora: difference 0.4 (0.35 to 0.45)")


def test_families_are_ordered_only_if_each_step_is_decided_in_every_one_of_several_seeds():
    effects = {"oft": 0.5, "lora": 0.2}
    order = "order of families"
    assert verdicts(effects)[order] == "oft > lora"
    assert verdicts(effects, seeds=1)[order] == NO_ORDER
    assert verdicts(effects, agreeing=2)[order] == NO_ORDER
    assert verdicts({"oft": 0.22, "lora": 0.2})[order] == NO_ORDER
    (claim,) = (each for each in claims(rows({"lora": 0.2, "oft": 0.22}), GROUPS, 0.05) if each["rule"] == order)
    assert "not decided between oft and lora (difference 0.02" in claim["sentence"]


def test_an_order_over_models_must_be_the_same():
    assert list(between_models({"a": "x > y"})) == []
    for orders, verdict in (
        ({"a": "x > y", "b": "x > y"}, "the same in every model"),
        ({"a": "x > y", "b": "y > x"}, "no order over models"),
        ({"a": NO_ORDER, "b": NO_ORDER}, "no order over models"),
    ):
        (claim,) = between_models(orders)
        assert claim["verdict"] == verdict


def test_a_difference_is_read_from_either_end():
    pairs = {("a", "b"): {"effect": 0.2, "effect_low": 0.1, "effect_high": 0.4, "q": 0.01}}
    turned = difference("b", "a", pairs)
    assert (turned["effect"], turned["effect_low"], turned["effect_high"]) == (-0.2, -0.4, -0.1)
    assert (decided(turned, 0.05), decided(pairs["a", "b"], 0.05), decided(turned, 0.001)) == (-1, 1, 0)
    assert difference("a", "c", pairs) == {}
