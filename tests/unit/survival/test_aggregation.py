"""Statistics of KL compared: the published ratios, and who dies at equal mean KL."""

import polars as pl
import pytest
from aggregation_examples import anywhere, at_the_end, noisy, spiky, study, value
from reference.aggregation import textbook_auc
from steerdose.dose.kl_statistics import STATISTICS
from steerdose.survival.aggregation import CALIPER, separation, simulated_students


def test_a_broad_shift_is_everywhere_and_a_loop_at_four_positions():
    students = simulated_students()
    assert students.filter(student="broad")["kl"].min() > 1e-4
    loop = students.filter(student="loop").filter(pl.col("kl") > 1e-12)
    assert loop["position"].to_list() == [33, 34, 35, 36]
    assert loop["kl"].is_sorted(descending=True)


@pytest.mark.parametrize("models", [("m",), ("m", "n")])
def test_auc_is_the_share_of_pairs_counted_one_by_one(models):
    histories, lives = study(noisy, anywhere, models=models)
    found = separation(histories, lives)
    names = ("model", "method", "alpha", "prompt_id")
    kl = {tuple(row[name] for name in names): row["kl"] for row in histories.iter_rows(named=True)}
    for statistic in STATISTICS:
        auc, pairs = textbook_auc(lives.to_dicts(), kl, statistic, CALIPER)
        assert value(found, statistic, "auc") == pytest.approx(auc)
        assert value(found, statistic, "pairs") == pairs
        assert value(found, statistic, "auc_low") <= auc <= value(found, statistic, "auc_high")
    assert found["share_best"].sum() == pytest.approx(1)


def test_spikes_at_equal_mean_are_seen_by_max_and_not_by_the_mean():
    found = separation(*study(spiky, at_the_end))
    assert value(found, "max", "auc") == value(found, "rmse", "auc") == 1
    assert value(found, "p50", "auc") == 0
    assert value(found, "mean", "auc_low") < 0.5 < value(found, "mean", "auc_high")
    assert value(found, "max", "share_best") > 0.2


def test_kl_that_says_nothing_has_half_in_its_intervals():
    found = separation(*study(noisy, at_the_end, prompts=16))
    assert ((found["auc_low"] < 0.5) & (found["auc_high"] > 0.5)).all()


def test_deaths_before_any_token_are_counted_and_leave_no_estimate():
    histories, lives = study(spiky, lambda generator, dies, window: 0 if dies else window)
    found = separation(histories, lives)
    dead = int(lives["died"].sum())
    assert found.select("auc", "auc_low", "auc_high", "share_best").null_count().row(0) == (7, 7, 7, 7)
    assert found.select("deaths", "deaths_at_0", "matched_deaths", "pairs").row(0) == (dead, dead, 0, 0)
    assert found["note"][0] == (
        "0 deaths on 0 prompts can be compared with survivors of equal mean KL, 10 on 5 are needed: no estimate. "
        f"Of {dead} deaths, {dead} came at fork 0, before any KL."
    )


def test_nobody_dead_is_no_error():
    histories, lives = study(spiky, at_the_end, alphas=(0.0,))
    assert separation(histories, lives)["deaths"].to_list() == [0] * len(STATISTICS)
