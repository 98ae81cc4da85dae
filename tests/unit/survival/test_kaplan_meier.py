"""Estimates of survival, against hand-computed cases, slow twins, lifelines and simulated cohorts."""

import numpy as np
import polars as pl
import pytest
from cohort_examples import CELL, GRID, cohort
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from lifelines.datasets import load_waltons
from reference.survival import product_limit, restricted_mean, turnbull
from scipy.stats import beta
from steerdose.errors import SteerdoseError
from steerdose.survival.kaplan_meier import beta_product, estimate_survival
from steerdose.survival.lifetimes import death_intervals


def estimate(observations, times=GRID, **options):
    curve, summary = estimate_survival(cohort(observations), times, **options)
    return curve, summary.row(0, named=True)


def at(curve, t):
    return curve.row(by_predicate=pl.col("t") == t, named=True)


def clopper_pearson(alive, n, tail=0.025):
    low = beta.ppf(tail, alive, n - alive + 1) if alive else 0.0
    high = beta.ppf(1 - tail, alive + 1, n - alive) if alive < n else 1.0
    return pytest.approx((low, high), abs=1e-9)


deaths = st.sampled_from(GRID).map(lambda t: (t, True))
censorings = st.integers(0, GRID[-1]).map(lambda t: (t, False))
cohorts = st.lists(st.one_of(deaths, censorings), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("observations", "times", "message"),
    [
        ([(4, True)], GRID, "the first of 4 tokens at method lora, prompt p0"),
        ([(300, False)], GRID, "censorings from 0 to 128"),
        ([(8, True)], [0, 8, 8], r"increases up to the window, found \[0, 8, 8\]"),
        ([(8, True)], [], "increases up to the window"),
    ],
)
def test_grid_that_does_not_fit_is_refused(observations, times, message):
    with pytest.raises(SteerdoseError, match=message):
        estimate(observations, times)


def test_no_lifetimes_are_refused():
    with pytest.raises(SteerdoseError, match="at least one trajectory"):
        estimate_survival(cohort([(8, True)]).clear(), GRID)


@settings(deadline=None, max_examples=30)
@given(cohorts)
def test_curve_equals_the_product_limit_table(observations):
    curve, summary = estimate(observations)
    durations, died = zip(*observations, strict=True)
    expected = product_limit(durations, died, GRID)
    assert curve.select("at_risk", "events").rows() == [row[:2] for row in expected]
    assert curve["survival"].to_list() == pytest.approx([float(row[2]) for row in expected], abs=1e-9)
    assert summary["n"] == len(observations) == curve["events"].sum() + curve["censored"].sum()
    assert (summary["died"], summary["censored"]) == (sum(died), len(died) - sum(died))
    reached = [t for t, row in zip(GRID, expected, strict=True) if row[2] <= 0.5]
    assert summary["median_t"] == (reached[0] if reached else None)
    assert summary["s_mid"] == pytest.approx(float(expected[GRID.index(64)][2]))
    assert summary["s_end"] == pytest.approx(float(expected[-1][2]))
    assert summary["rmst"] == pytest.approx(float(restricted_mean(durations, died, GRID)))


@settings(deadline=None, max_examples=30)
@given(cohorts)
def test_survival_equals_lifelines(observations):
    curve, _ = estimate(observations)
    fit = KaplanMeierFitter().fit(*zip(*observations, strict=True))
    assert curve["survival"].to_list() == pytest.approx(fit.survival_function_at_times(GRID).to_list(), abs=1e-9)


def test_the_interval_is_that_of_drawn_beta_products():
    """3 of 12 die, 4 are censored, 2 of the 5 left die: the products of Fay, Brittain and Proschan, drawn.

    Two moments do not fix a product of unlike factors: 0.006 is what that costs here."""
    at_risk, events = np.array([12, 9, 5]), np.array([3, 0, 2])
    generator = np.random.default_rng(0)

    def product(*sizes):
        return np.prod([generator.beta(size, 1, 400_000) for size in sizes], axis=0)

    low, high = beta_product(at_risk, events, 0.95)
    upper = [product(12, 11, 10), product(12, 11, 10), product(12, 11, 10, 5, 4)]
    lower = [product(12, 11, 10, 9), product(12, 11, 10, 9), product(12, 11, 10, 5, 4, 3)]
    assert high.tolist() == pytest.approx([np.quantile(each, 0.975) for each in upper], abs=0.008)
    assert low.tolist() == pytest.approx([np.quantile(each, 0.025) for each in lower], abs=0.008)


@settings(deadline=None, max_examples=30)
@given(cohorts)
def test_no_interval_becomes_narrower_without_a_death(observations):
    curve, _ = estimate(observations)
    width = (curve["ci_high"] - curve["ci_low"]).to_numpy()
    assert (np.diff(width)[curve["events"].to_numpy()[1:] == 0] >= -1e-12).all()


@settings(deadline=None, max_examples=30)
@given(cohorts, st.sampled_from([0.5, 0.95, 0.99]))
def test_interval_contains_the_estimate(observations, confidence):
    curve, summary = estimate(observations, confidence=confidence)
    low, survival, high = (curve[name].to_numpy() for name in ("ci_low", "survival", "ci_high"))
    assert np.all((low >= 0) & (low <= survival + 1e-9) & (survival <= high + 1e-9) & (high <= 1))
    assert np.all(high - low > 0)
    reached = [GRID[-1] + 1 if summary[name] is None else summary[name] for name in ("median_low", "median_t")]
    assert reached == sorted(reached)


@settings(deadline=None, max_examples=30)
@given(st.lists(deaths, min_size=1, max_size=20), st.integers(0, 5))
def test_without_censoring_survival_is_the_fraction_alive(dead, survivors):
    curve, _ = estimate([*dead, *[(GRID[-1], False)] * survivors])
    n = len(dead) + survivors
    for row in curve.iter_rows(named=True):
        alive = survivors + sum(t > row["t"] for t, _ in dead)
        assert row["survival"] == pytest.approx(alive / n, abs=1e-9)
        assert (row["ci_low"], row["ci_high"]) == clopper_pearson(alive, n)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([1, 1, 1, 1, 1, 3], [0.875, 0.75, 0.625, 0.5, 0.375, 0]),
        ([1, 1, 1, 1, 3, 1], [0.875, 0.75, 0.625, 0.5, 0.125, 0]),
    ],
)
def test_research_table(counts, expected):
    times = [0, 8, 23, 64, 128, 512]
    curve, summary = estimate([(t, True) for t, count in zip(times, counts, strict=True) for _ in range(count)], times)
    assert curve["survival"].to_list() == pytest.approx(expected, abs=1e-12)
    assert summary["median_t"] == 64  # exactly one half: rounding must not postpone it


def test_the_published_table_is_reproduced_and_corrected():
    """8 doses, 8 trajectories each, 14 forks to token 512; at alpha 2 all died, yet the table says S(end) = 0.321.

    Its rule divides by all trajectories long enough for the fork, the dead among them. 0.586 and 0.321 are (7/8)^4 and
    (7/8)^5 (5/8), so at alpha 2 four died at four forks up to the middle one (token 23; which four is not known), one
    at 38 and three at 64, where the table has its median.
    """
    forks = [0, 1, 2, 3, 5, 8, 13, 23, 38, 64, 108, 181, 304, 512]
    deaths = {alpha: {} for alpha in (0, 0.25, 0.5, 0.75, 1, 1.5)} | {
        2: {3: 1, 5: 1, 8: 1, 23: 1, 38: 1, 64: 3},
        4: {0: 8},
    }
    lives = []
    for alpha, events in deaths.items():
        dead = [(t, True) for t, count in events.items() for _ in range(count)]
        lives.append(cohort(dead + [(512, False)] * (8 - len(dead)), alpha=float(alpha)))
    curve, summary = estimate_survival(pl.concat(lives), forks)
    for alpha, events in deaths.items():
        defective = np.cumprod([1 - events.get(t, 0) / 8 for t in forks])
        true = curve.filter(alpha=float(alpha))["survival"].to_list()
        row = summary.row(by_predicate=pl.col("alpha") == alpha, named=True)
        if alpha < 2:
            assert true == defective.tolist() == [1.0] * 14
            assert (row["died"], row["median_t"]) == (0, None)
        if alpha == 2:
            assert defective[[7, 13]].round(3).tolist() == [0.586, 0.321]
            assert next(t for t, s in zip(forks, defective, strict=True) if s <= 0.5) == 64
            assert (true[7], true[13], row["median_t"]) == (pytest.approx(0.5), 0, 23)
        if alpha == 4:
            assert true == defective.tolist() == [0.0] * 14
            assert (row["median_t"], row["rmst"]) == (0, 0)


def test_waltons_fruit_flies_have_their_documented_median():
    flies = load_waltons().astype(int, errors="ignore")
    observations = list(zip(flies["T"].astype(int).tolist(), (flies["E"] == 1).tolist(), strict=True))
    times = list(range(int(flies["T"].max()) + 1))
    curve, summary = estimate(observations, times)
    fit = KaplanMeierFitter().fit(flies["T"], flies["E"])
    assert summary["median_t"] == fit.median_survival_time_ == 56
    assert curve["survival"].to_list() == pytest.approx(fit.survival_function_at_times(times).to_list(), abs=1e-9)


def test_deaths_lie_between_two_forks():
    lives = cohort([(0, True), (1, True), (8, True), (0, False), (11, False), (128, False)])
    found = death_intervals(lives, GRID).select("after", "until").rows()
    inf = float("inf")
    assert found == [(-1, 0), (0, 1), (5, 8), (0, inf), (8, inf), (128, inf)]


@settings(deadline=None, max_examples=30)
@given(cohorts)
def test_turnbull_equals_the_slow_em(observations):
    curve, _ = estimate(observations)
    intervals = death_intervals(cohort(observations), GRID).select("after", "until").rows()
    expected = turnbull(intervals, GRID)
    assert curve["turnbull_low"].to_list() == pytest.approx([low for low, _ in expected], abs=1e-3)
    assert curve["turnbull_high"].to_list() == pytest.approx([high for _, high in expected], abs=1e-3)


@settings(deadline=None, max_examples=30)
@given(cohorts)
@pytest.mark.filterwarnings("ignore:Exceeded max iterations")
def test_turnbull_equals_lifelines(observations):
    curve, _ = estimate(observations)
    lives = death_intervals(cohort(observations), GRID)
    # lifelines takes closed intervals, so the lower end goes where no token is
    lower, upper = lives["after"].to_numpy() + 0.5, lives["until"].to_numpy()
    fit = KaplanMeierFitter().fit_interval_censoring(lower, upper, timeline=GRID, tol=1e-10, max_iter=2000)
    high, low = fit.survival_function_.to_numpy().T
    assert curve["turnbull_low"].to_list() == pytest.approx(low.tolist(), abs=1e-3)
    assert curve["turnbull_high"].to_list() == pytest.approx(high.tolist(), abs=1e-3)


def test_turnbull_leaves_open_what_no_fork_has_seen():
    curve, _ = estimate([(8, True), (8, True), (64, False), (64, False)])
    columns = ["survival", "turnbull_low", "turnbull_high"]
    assert curve.filter(pl.col("t").is_in([5, 8, 13, 128])).select(columns).rows() == [
        (1.0, 1.0, 1.0), (0.5, 0.5, 1.0), (0.5, 0.5, 0.5), (0.5, 0.0, 0.5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("observations", "expected"),
    [
        ([(8, True)] * 6 + [(64, True)] * 6, (8, 8, 64)),  # S = 1/2 exactly at 8, where its interval is [0.21, 0.79]
        ([(8, True)] * 5 + [(64, True)] * 7, (64, 8, 64)),
        ([(8, True)] * 5 + [(128, False)] * 7, (None, 8, None)),
        ([(8, True)] * 2 + [(128, False)] * 10, (None, None, None)),  # 10 of 12: exact lower bound 0.516
        ([(8, True)] * 3 + [(128, False)] * 9, (None, 8, None)),  # 9 of 12: 0.428
        ([(1, True)] * 12, (1, 1, 1)),
    ],
)
def test_median_and_its_interval_by_hand(observations, expected):
    _, summary = estimate(observations)
    assert tuple(summary[name] for name in ("median_t", "median_low", "median_high")) == expected


@settings(deadline=None, max_examples=30)
@given(st.lists(deaths, min_size=2, max_size=20), st.integers(0, 5))
def test_without_censoring_the_error_of_the_mean_is_the_textbook_one(dead, survivors):
    _, summary = estimate([*dead, *[(GRID[-1], False)] * survivors])
    lives = np.array([t for t, _ in dead] + [GRID[-1]] * survivors)
    expected = lives.std() / np.sqrt(len(lives))
    assert summary["rmst_se"] == (pytest.approx(expected) if expected > 0 else None)
    assert summary["rmst_low"] <= summary["rmst"] <= summary["rmst_high"]


def test_error_of_the_mean_with_censoring_by_hand():
    # At 8: 1 of 4 dies, area after it 0.75 x 56 + 0.375 x 64 = 66; at 64: 1 of 2 dies, area after it 0.375 x 64 = 24.
    _, summary = estimate([(8, True), (20, False), (64, True), (128, False)])
    assert summary["rmst"] == pytest.approx(8 + 66)
    assert summary["rmst_se"] == pytest.approx((66**2 / (4 * 3) + 24**2 / (2 * 1)) ** 0.5)


def test_error_of_the_mean_does_not_claim_certainty():
    _, summary = estimate([(128, False)] * 8)
    assert summary["rmst_se"] is None
    assert summary["rmst_low"] == pytest.approx(128 * 0.025 ** (1 / 8))
    assert summary["rmst_high"] == 128
    _, summary = estimate([(0, True)] * 8)
    assert (summary["rmst_se"], summary["rmst_low"]) == (None, 0)
    assert summary["rmst_high"] == pytest.approx(128 * (1 - 0.025 ** (1 / 8)))


COHORTS = 150


def simulated(cohorts, n, mean, mean_end, generator):
    """Lifetimes with a constant hazard, read at the forks; and an independent end, exponential too, or none."""
    forks = np.array([*GRID, 10_000])[np.searchsorted(GRID, generator.exponential(mean, (cohorts, n)))]
    end = np.floor(generator.exponential(mean_end, (cohorts, n))) if mean_end else np.full((cohorts, n), GRID[-1])
    end = np.minimum(end, GRID[-1]).astype(int)
    died = forks <= end
    alpha, prompt = np.divmod(np.arange(cohorts * n), n)
    return pl.DataFrame(
        {"duration": np.where(died, forks, end).ravel(), "died": died.ravel(), "alpha": alpha.astype(float)}
    ).with_columns(
        *[pl.lit(value).alias(name) for name, value in CELL.items() if name != "alpha"],
        prompt_id=pl.Series(prompt).cast(pl.String),
        ended=~pl.Series(died.ravel()),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("n", "mean", "mean_end"), [(12, 60, None), (24, 60, 200), (24, 20, None)])
def test_intervals_hold_the_truth_as_often_as_they_say(n, mean, mean_end):
    generator = np.random.default_rng(0)
    curve, summary = estimate_survival(simulated(COHORTS, n, mean, mean_end, generator), GRID)
    truth = np.exp(-np.array(GRID) / mean)
    rmst = float((truth[:-1] * np.diff(GRID)).sum())
    median = next((t for t, s in zip(GRID, truth, strict=True) if s <= 0.5), None)
    at_38 = curve.filter(t=38)
    true_38 = float(truth[GRID.index(38)])
    beyond = pl.lit(GRID[-1] + 1)
    held = {
        "survival": at_38.select((pl.col("ci_low") <= true_38) & (true_38 <= pl.col("ci_high"))),
        "median": summary.select(
            (pl.coalesce("median_low", beyond) <= median) & (median <= pl.coalesce("median_high", beyond))
        ),
        "rmst": summary.select((pl.col("rmst_low") <= rmst) & (rmst <= pl.col("rmst_high"))),
    }
    share = {name: float(frame.to_series().mean()) for name, frame in held.items()}
    assert (
        share["survival"] > 0.95 - 2 * (0.95 * 0.05 / COHORTS) ** 0.5
    )  # 0.95 less two standard errors; exact intervals hold more
    assert share["median"] > 0.95 - 2 * (0.95 * 0.05 / COHORTS) ** 0.5
    assert 0.86 < share["rmst"] < 0.99
    spread = summary["rmst"].std() / (summary["rmst_se"] ** 2).mean() ** 0.5
    assert 0.85 < spread < 1.2
    assert summary["rmst"].mean() == pytest.approx(rmst, abs=4 * summary["rmst"].std() / COHORTS**0.5)


def test_thousands_of_trajectories_are_one_table():
    _, summary = estimate_survival(simulated(1, 20_000, 60, 200, np.random.default_rng(0)), GRID)
    row = summary.row(0, named=True)
    assert row["n"] == 20_000 == row["died"] + row["censored"]
    assert row["rmst_high"] - row["rmst_low"] < 3


def test_all_dead_at_zero():
    curve, summary = estimate([(0, True)] * 8)
    assert curve["survival"].to_list() == [0] * len(GRID)
    assert curve["at_risk"].to_list() == [8] + [0] * (len(GRID) - 1)
    assert (at(curve, 128)["ci_low"], at(curve, 128)["ci_high"]) == clopper_pearson(0, 8)
    assert [summary[name] for name in ("median_t", "median_low", "median_high", "rmst")] == [0, 0, 0, 0]


def test_nobody_dead_does_not_claim_certainty():
    curve, summary = estimate([(128, False)] * 8)
    assert curve["survival"].to_list() == [1] * len(GRID)
    assert curve["ci_low"].to_list() == pytest.approx([0.025 ** (1 / 8)] * len(GRID))
    assert round(curve["ci_low"][0], 2) == 0.63
    assert [summary[name] for name in ("median_t", "median_low", "median_high")] == [None] * 3
    assert (summary["died"], summary["censored"], summary["rmst"]) == (0, 8, 128)


def test_one_trajectory():
    curve, summary = estimate([(13, True)])
    assert curve["survival"].to_list() == [1.0] * 6 + [0.0] * 5
    assert (at(curve, 8)["ci_low"], at(curve, 8)["ci_high"]) == clopper_pearson(1, 1)
    assert (summary["median_t"], summary["rmst"]) == (13, 13)


def test_at_equal_time_death_precedes_censoring():
    curve, _ = estimate([(8, True), (8, False), (8, False), (128, False)])
    row = at(curve, 8)
    assert (row["at_risk"], row["events"], row["censored"]) == (4, 1, 2)
    assert row["survival"] == pytest.approx(0.75)
    assert (row["ci_low"], row["ci_high"]) == clopper_pearson(3, 4)


def test_censorings_fall_between_forks():
    curve, _ = estimate([(0, False), (4, False), (5, False), (127, False), (128, False), (128, False)])
    assert dict(curve.filter(pl.col("censored") > 0).select("t", "censored").rows()) == {
        0: 1,
        3: 1,
        5: 1,
        64: 1,
        128: 2,
    }


def test_alive_after_censoring_counts_those_still_at_risk():
    curve, _ = estimate([(10, False)] * 5 + [(20, False)] * 3)
    assert (at(curve, 13)["ci_low"], at(curve, 13)["ci_high"]) == clopper_pearson(3, 3)
    assert (at(curve, 23)["ci_low"], at(curve, 23)["ci_high"]) == (0, 1)


def test_all_dead_after_censoring_counts_those_at_the_last_death():
    curve, _ = estimate([(2, False)] + [(38, True)] * 6)
    assert (at(curve, 64)["ci_low"], at(curve, 64)["ci_high"]) == clopper_pearson(0, 6)


def test_last_single_death_does_not_raise_the_upper_bound():
    curve, _ = estimate([(0, False), *[(t, True) for t in GRID[1:9]]])
    before, after = at(curve, 23), at(curve, 38)
    assert (before["at_risk"], after["at_risk"]) == (2, 1)
    assert after["ci_high"] <= before["ci_high"] < clopper_pearson(0, 1).expected[1]


def test_cohorts_are_separate_sorted_and_typed_alike():
    both = pl.concat([cohort([(8, True)], alpha=3.0), cohort([(128, False)], alpha=-1.0)])
    curve, summary = estimate_survival(both, GRID)
    assert summary["alpha"].to_list() == [-1.0, 3.0]
    assert summary["median_t"].to_list() == [None, 8]
    assert curve.columns[:7] == ["model", "behavior", "seed", "method", "alpha", "coefficient", "t"]
    alone = estimate_survival(cohort([(128, False)], alpha=-1.0), GRID)
    assert alone[1].schema == summary.schema
    assert alone[0].equals(curve.filter(pl.col("alpha") == -1.0))


def test_copies_of_a_trajectory_say_no_more_than_one():
    """Four equal samples of each prompt: the interval is no narrower than that of one; four other prompts would be."""
    observations = [(GRID[1], True), (GRID[2], True), (GRID[2], True), (GRID[3], False), *[(GRID[-1], False)] * 8]
    one = cohort(observations)
    four = pl.concat([one.with_columns(sample=pl.lit(i, one.schema["sample"])) for i in range(4)])
    apart = four.with_columns(prompt_id=pl.format("{}-{}", "prompt_id", "sample"))
    width = {}
    for name, lives in (("one", one), ("four", four), ("apart", apart)):
        curve, summary = estimate_survival(lives, GRID)
        row = at(curve, GRID[-1])
        assert row["survival"] == pytest.approx(at(estimate_survival(one, GRID)[0], GRID[-1])["survival"])
        width[name] = row["ci_high"] - row["ci_low"], summary["rmst_high"][0] - summary["rmst_low"][0]
    assert width["apart"] < tuple(0.7 * each for each in width["four"])
    assert all(four >= one for four, one in zip(width["four"], width["one"], strict=True))
