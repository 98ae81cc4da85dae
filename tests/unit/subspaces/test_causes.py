"""Scores beside effects: a planted prediction is found, none is not, and the sentences say which."""

import numpy as np
import polars as pl
import pytest
from steerdose.declarations.subspaces import SUBSPACE_PARTS, SUBSPACES
from steerdose.files import typed
from steerdose.subspaces.causes import correlation, pairs, scored
from steerdose.subspaces.claims import claims

NAMES = [f"h{i}" for i in range(12)]
AXES = ["write", "mixed", "read"] * 4
RANDOM = (0.02, -0.03, 0.05)


def scores(recovery, *, seeds=(0, 1, 2), method="lora", best=50.0, q=0.001):
    """The table of subspaces. recovery: by target, a value a hypothesis."""
    rows = []
    for seed in (*seeds, *([None] if len(seeds) > 1 else [])):
        for target, values in recovery.items():
            for name, axis, value in zip(NAMES, AXES, values, strict=True):
                row = {"model": "m", "behavior": "b", "seed": seed, "method": method, "subspace": name, "axis": axis}
                row |= {"family": "f", "target": target, "width": 8, "blocks": 3, "recovery": value, "best": best}
                row |= {"seeds": 1 if seed is not None else len(seeds), "excess": (value - 1) / (best - 1)}
                row |= {"q": None if seed is None else q}
                rows.append({each.name: row.get(each.name) for each in SUBSPACES.columns})
    return typed(rows, SUBSPACES)


def parts(retained, *, method="lora", seeds=3, at="coefficient"):
    """The table of parts, over seeds. retained: a value a hypothesis."""
    values = dict(zip((f"{name}-8" for name in NAMES), retained, strict=True))
    values |= {"own-8": 0.8, "written": 0.9} | {f"random{i}-8": share for i, share in enumerate(RANDOM)}
    rows = [
        {
            "model": "m", "behavior": "b", "method": method, "seeds": seeds, "way": "subspace", "part": name,
            "side": side, "at": at, "retained": share if side == "keep" else 1 - share, "sure_low": share - 0.1,
            "sure_high": share + 0.1,
        }
        for name, share in values.items()
        for side in ("keep", "drop")
    ]  # fmt: skip
    return typed([{each.name: row.get(each.name) for each in SUBSPACE_PARTS.columns} for row in rows], SUBSPACE_PARTS)


RISING = np.linspace(1.0, 6.0, 12)
SHUFFLED = np.random.default_rng(4).permutation(RISING)
BOTH = {"written": RISING, "stream": SHUFFLED}


def verdicts(subspaces, table):
    return {(claim["method"], claim["question"]): claim["verdict"] for claim in claims(subspaces, table)}


def test_a_part_has_the_score_of_its_hypothesis_and_controls_have_none():
    found = scored(scores(BOTH), parts(RISING / 10))
    kept = found.filter(side="keep").sort("subspace")
    assert kept["subspace"].to_list() == sorted(NAMES)
    expected = {name: (a, b) for name, a, b in zip(NAMES, RISING, SHUFFLED, strict=True)}
    for name, written, stream, swept in kept.select("subspace", "written", "stream", "swept").iter_rows():
        assert ((written, stream), swept) == (expected[name], "lora")


def test_a_method_that_was_not_swept_has_the_scores_of_each_that_was():
    both = pl.concat([scores(BOTH), scores(BOTH, method="ia3")])
    found = scored(both, pl.concat([parts(RISING / 10), parts(RISING / 10, method="mean_diff")]))
    assert {(place[2], place[3]) for place, _ in pairs(found)} == {
        ("lora", "lora"), ("mean_diff", "lora"), ("mean_diff", "ia3")
    }  # fmt: skip


@pytest.mark.parametrize(("sign", "verdict"), [(1, "predicts"), (-1, "misleads")])
def test_a_planted_prediction_is_found_with_its_sign(sign, verdict):
    found = verdicts(scores(BOTH), parts(sign * RISING / 10))
    question = "does a score on what the weights write (lora) predict the effect at the whole's coefficient"
    assert found["lora", question] == verdict
    other = "does a score on the change of the stream (lora) predict the effect at the whole's coefficient"
    assert found["lora", other] == "does not predict"


def test_too_few_parts_or_equal_ones_have_no_correlation():
    (_, rows), = pairs(scored(scores(BOTH), parts(RISING / 10)))  # fmt: skip
    assert correlation(rows, "written")[0] == pytest.approx(1)
    assert correlation(rows.head(3), "written") is None
    assert correlation(rows.with_columns(retained=0.5), "written") is None


@pytest.mark.parametrize(
    ("best", "q", "verdict"),
    [(6.2, 0.001, "held"), (30.0, 0.001, "in part"), (300.0, 0.001, "hardly"), (300.0, 0.4, "not")],
)
def test_how_much_the_best_hypothesis_holds_is_told_by_the_way_to_the_best_directions(best, q, verdict):
    recovery = {"written": RISING, "stream": SHUFFLED, "read": SHUFFLED}
    table = scores(recovery, best=best, q=q)
    found = {claim["question"]: claim for claim in claims(table, parts(RISING).clear())}
    assert found["what the weights write"]["verdict"] == verdict
    best_written = [name for name, axis in zip(NAMES, AXES, strict=True) if axis != "read"][-1]
    assert found["what the weights write"]["sentence"].startswith(f"{best_written}, the best of 8, recovers")


def test_one_seed_makes_no_claim_and_none_about_agreement():
    found = list(claims(scores(BOTH, seeds=(0,)), parts(RISING / 10, seeds=1)))
    assert all(claim["sentence"].endswith("One seed alone says so: no claim.") for claim in found)
    assert not any("seeds agree" in claim["question"] for claim in found)


def test_seeds_that_put_hypotheses_into_other_orders_do_not_agree():
    same = scores(BOTH)
    question = "do seeds agree on what the weights write"
    assert verdicts(same, parts(RISING).clear())["lora", question] == "they agree"
    turned = pl.when((pl.col("seed") == 1) & (pl.col("target") == "written")).then(7 - pl.col("recovery"))
    other = same.with_columns(recovery=turned.otherwise(pl.col("recovery")))
    assert verdicts(other, parts(RISING).clear())["lora", question] == "they do not"


def test_what_does_more_than_random_directions_is_counted_by_bounds_for_all_at_once():
    some = [0.9, 0.3, *[0.1] * 10]  # bounds reach 0.1 below, random ones 0.05
    (claim,) = [c for c in claims(scores(BOTH), parts(some)) if c["question"].startswith("parts that do more")]
    assert claim["verdict"] == "some"
    assert "2 of 12 (h0-8 90%, h1-8 30%) retain more than the best of 3 random subspaces (5%)" in claim["sentence"]
    (none,) = [c for c in claims(scores(BOTH), parts([0.1] * 12)) if c["question"].startswith("parts that do more")]
    assert none["verdict"] == "none"
