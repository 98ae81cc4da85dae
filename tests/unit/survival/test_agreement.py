"""How far endpoints agree on who died, and which of them says so first."""

import numpy as np
import polars as pl
import pytest
from steerdose.survival.agreement import ALL, agreement, cohen_kappa


def key(prompt, alpha=1.0, method="lora"):
    cell = {"model": "m", "behavior": "b", "seed": 0, "method": method, "alpha": alpha, "coefficient": 2.0}
    return cell | {"prompt_id": f"p{prompt}", "sample": 0}


def lives(times, **names):
    """Lifetimes by endpoint: times of death of trajectories, None of those that lived."""
    rows = []
    for endpoint, deaths in times.items():
        for prompt, t in enumerate(deaths):
            row = {"endpoint": endpoint, "duration": 128 if t is None else t, "died": t is not None}
            rows.append(key(prompt, **names) | row)
    return pl.DataFrame(rows)


def test_order_in_time_by_hand():
    found = agreement(lives({"text": [8, 8, 8, None], "kl": [4, 8, 16, None], "answer": [None, None, 1, 1]}), 0.9)
    row = found.filter(method="lora", b="kl").row(0, named=True)
    assert [row[name] for name in ("n", "both", "only_a", "only_b", "neither")] == [4, 3, 0, 0, 1]
    assert [row[name] for name in ("a_first", "same_time", "b_first")] == [1, 1, 1]
    assert row["kappa"] == 1
    assert (row["kappa_low"], row["kappa_high"]) == (1, 1)
    assert found.filter(method="lora")[["a", "b"]].rows() == [("text", "kl"), ("text", "answer")]
    assert found.filter(method=ALL)[["a", "b"]].rows() == [("text", "kl"), ("text", "answer"), ("kl", "answer")]


def test_a_trajectory_without_one_of_the_endpoints_is_not_compared():
    both, alone = lives({"text": [8, None], "kl": [8, None]}), lives({"text": [8, 9]}, method="prompt")
    found = agreement(pl.concat([both, alone]), 0.9)
    assert found.filter(method=ALL)["n"].to_list() == [2]
    assert found.filter(method="prompt").is_empty()


def test_a_study_without_a_steered_dose_has_nothing_to_agree_on():
    assert agreement(lives({"text": [8], "kl": [None]}, alpha=0.0), 0.95).is_empty()


def test_kappa_of_published_tables():
    # both 20, only a 5, only b 10, neither 15: observed 0.7, expected 0.5
    assert cohen_kappa(np.array([15, 10, 5, 20])) == pytest.approx(0.4)
    # Two tables with equal agreement of 60 in 100: 45/15/25/15 and 25/35/5/35.
    tables = np.array([[15, 25, 15, 45], [35, 5, 35, 25]])
    assert cohen_kappa(tables) == pytest.approx([0.1304, 0.2593], abs=5e-5)
    assert np.isnan(cohen_kappa(np.array([[4, 0, 0, 0], [0, 0, 0, 4], [2, 0, 2, 0], [0, 0, 0, 0]]))).all()


def test_the_interval_of_kappa_covers_and_is_the_same_every_time():
    generator = np.random.default_rng(0)
    covered, previous = 0, None
    prompts, doses, studies = 40, 6, 40
    truth = cohen_kappa(np.array([0.4, 0.1, 0.1, 0.4]))
    for _ in range(studies):
        outcome = generator.choice(4, p=[0.4, 0.1, 0.1, 0.4], size=(prompts, doses))
        rows = []
        for (prompt, dose), kind in np.ndenumerate(outcome):
            names = key(prompt, alpha=dose + 1.0)
            rows += [names | {"endpoint": "text", "duration": 4, "died": bool(kind & 2)}]
            rows += [names | {"endpoint": "kl", "duration": 4, "died": bool(kind & 1)}]
        row = agreement(pl.DataFrame(rows), 0.9).row(0, named=True)
        covered += row["kappa_low"] <= truth <= row["kappa_high"]
        previous = (rows, row)
    assert covered / studies >= 0.9 - 3 * np.sqrt(0.9 * 0.1 / studies)
    assert agreement(pl.DataFrame(previous[0]), 0.9).row(0, named=True) == previous[1]
