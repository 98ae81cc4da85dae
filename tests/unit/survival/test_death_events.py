"""Other death events: bands around the unsteered texts, KL over the target, and their agreement with the probe."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.deaths import event
from steerdose.columns import KEYS
from steerdose.outcomes.text import MEASURES
from steerdose.survival.death_events import ALL, EVENTS, cohen_kappa, death_events, event_agreement

GRID = [0, 4, 8, 16]


def key(prompt, alpha=1.0, method="lora", coefficient=2.0):
    cell = {"model": "m", "behavior": "b", "seed": 0, "method": method, "alpha": alpha, "coefficient": coefficient}
    return cell | {"prompt_id": f"p{prompt}"}


def trajectory(values, prompt=0, **names):
    """Prefix rows in which every text measure has the given values by fork (null where None), better to worse."""
    return [
        key(prompt, **names)
        | {"t": t, **{name: None if v is None else direction * v for name, direction in MEASURES.items()}, "kl": v}
        for t, v in zip(GRID, values, strict=False)
    ]


def study(*trajectories, target=10.0, quantile=1.0, multiple=2.0, deaths=()):
    """Events of trajectories; deaths: {(method, alpha, prompt): t} by the probe."""
    prefixes = pl.DataFrame([row for rows in trajectories for row in rows], infer_schema_length=None)
    targets = pl.DataFrame(
        [
            {"model": "m", "behavior": "b", "seed": 0, "method": m, "sign": sign, "target": target}
            for m in prefixes["method"].unique()
            for sign in ("positive", "negative")
        ],
        schema_overrides={"target": pl.Float64},
    )
    lives = prefixes.select(KEYS).unique(maintain_order=True).to_dicts()
    for row in lives:
        t = dict(deaths).get((row["method"], row["alpha"], row["prompt_id"]))
        row |= {"duration": GRID[-1] if t is None else t, "died": t is not None, "ended": False}
    return death_events(prefixes, pl.DataFrame(lives, infer_schema_length=None), targets, quantile, multiple)


def when(events, name, **names):
    return events.filter(event=name, **names)["t"].to_list()


UNSTEERED = [trajectory([None, 1.0 + i, 2.0, 3.0 - i], i, alpha=0.0) for i in (-1, 0, 1)]  # medians 1, 2, 3; widest 1


def test_a_text_is_dead_where_it_leaves_the_band():
    steered = [
        trajectory([None, 2.0, 3.0, 4.0], 0),  # on the edge throughout
        trajectory([None, 1.0, 3.1, 0.0], 1),
        trajectory([None, 2.1, 0.0, 9.0], 2),
        trajectory([None, 1.0], 3),
    ]
    events = study(*UNSTEERED, *steered)
    for name in MEASURES:
        assert when(events, name, alpha=1.0) == [None, 8, 4, None]
        assert when(events, name, alpha=0.0) == [None] * 3


def test_beyond_the_longest_unsteered_text_its_last_median_stands_in():
    short = [rows[:3] for rows in UNSTEERED]
    events = study(*short, trajectory([None, 1.0, 2.0, 3.0], 0), trajectory([None, 1.0, 2.0, 3.1], 1))
    assert when(events, "loop", alpha=1.0) == [None, 16]  # median 2 at t 8, widest 1


def test_a_quantile_below_1_leaves_the_widest_unsteered_texts_outside():
    events = study(*UNSTEERED, quantile=0.4)  # excesses 0, 0 (or 1 at the end), 1
    assert sum(t is not None for t in when(events, "loop", alpha=0.0)) >= 1


def test_several_methods_count_the_same_unsteered_texts_once():
    twin = [[row | {"method": "other"} for row in rows] for rows in UNSTEERED]
    steered = trajectory([None, 1.0, 3.1, 0.0], 1)
    one, two = study(*UNSTEERED, steered, quantile=0.8), study(*UNSTEERED, *twin, steered, quantile=0.8)
    assert two.filter(method="lora").equals(one)


def test_of_unsteered_texts_that_differ_between_methods_those_of_the_first_count():
    others = [[row | {"method": f"m{i}"} for row in rows] for i in range(40) for rows in UNSTEERED]
    changed = [
        [row | {name: 99.0 * MEASURES[name] for name in MEASURES if row[name] is not None} for row in rows]
        for rows in others
    ]
    steered = trajectory([None, 1.0, 3.1, 0.0], 1)
    assert study(*UNSTEERED, *changed, steered).filter(method="lora").equals(study(*UNSTEERED, steered))
    assert when(study(*changed, *UNSTEERED, steered), "loop", method="lora", alpha=1.0) == [None]


def test_kl_is_an_event_beyond_the_multiple_of_the_target():
    events = study(*UNSTEERED, trajectory([None, 19.0, 20.0, 20.1], 0), trajectory([None, 21.0, 0.0, 0.0], 1))
    assert when(events, "kl", alpha=1.0) == [16, 4]


def test_a_prompt_without_a_target_has_no_kl_event():
    prompt = trajectory([None, 99.0], 0, method="simple", coefficient=None)
    events = pl.concat([study(*UNSTEERED, prompt, target=None), study(*UNSTEERED)]).unique()
    assert events.filter(method="simple", event="kl").is_empty()
    assert when(events, "loop", method="simple") == [4]
    agreement = event_agreement(events.filter((pl.col("alpha") == 0) | (pl.col("method") == "simple")), 0.95)
    assert "kl" not in agreement["b"]


def test_the_probe_is_an_event_like_the_others():
    events = study(*UNSTEERED, trajectory([None, 0.0, 0.0, 0.0], 0), deaths={("lora", 1.0, "p0"): 0}.items())
    assert when(events, "pmass", alpha=1.0) == [0]


def test_order_in_time_by_hand():
    bad = {0: [None, 9.0, 9.0, 9.0], 1: [None, 0.0, 9.0, 9.0], 2: [None, 0.0, 0.0, 9.0], 3: [None, 0, 0, 0]}
    deaths = {("lora", 1.0, f"p{i}"): 8 for i in (0, 1, 2)}
    found = event_agreement(study(*UNSTEERED, *[trajectory(v, i) for i, v in bad.items()], deaths=deaths.items()), 0.9)
    row = found.filter(method="lora", b="loop").row(0, named=True)
    assert [row[name] for name in ("n", "both", "only_a", "only_b", "neither")] == [4, 3, 0, 0, 1]
    assert [row[name] for name in ("a_first", "same_fork", "b_first")] == [1, 1, 1]
    assert row["kappa"] == 1
    assert (row["kappa_low"], row["kappa_high"]) == (1, 1)
    pairs = found.filter(method=ALL)
    assert len(pairs) == len(EVENTS) * (len(EVENTS) - 1) / 2
    assert pairs.filter(a="pmass", b="loop").drop("method").equals(found.filter(method="lora", b="loop").drop("method"))


def test_a_study_without_a_steered_dose_has_nothing_to_agree_on():
    events = study(*UNSTEERED)
    assert event_agreement(events, 0.95).is_empty()


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
            rows += [names | {"event": "pmass", "t": 4 if kind & 2 else None}]
            rows += [names | {"event": "loop", "t": 4 if kind & 1 else None}]
        row = event_agreement(pl.DataFrame(rows, infer_schema_length=None), 0.9).row(0, named=True)
        covered += row["kappa_low"] <= truth <= row["kappa_high"]
        previous = (rows, row)
    assert covered / studies >= 0.9 - 3 * np.sqrt(0.9 * 0.1 / studies)
    assert event_agreement(pl.DataFrame(previous[0], infer_schema_length=None), 0.9).row(0, named=True) == previous[1]


levels = st.one_of(st.none(), st.integers(0, 6).map(float))
prefix_values = st.lists(levels, min_size=1, max_size=len(GRID))


@settings(max_examples=40)
@given(
    st.lists(prefix_values, min_size=1, max_size=5), st.lists(prefix_values, min_size=1, max_size=4), st.floats(0, 1)
)
def test_events_equal_the_slow_twin(unsteered, steered, quantile):
    trajectories = [trajectory(values, i, alpha=0.0) for i, values in enumerate(unsteered)]
    if not any(v is not None for values in unsteered for v in values):
        trajectories.append(trajectory([1.0], 9, alpha=0.0))
    everybody = trajectories + [trajectory(values, i) for i, values in enumerate(steered)]
    events = study(*everybody, quantile=quantile)
    plain = [{"measures": {row["t"]: row for row in rows}} for rows in everybody]
    base = plain[: len(trajectories)]
    for name in ("loop", "distinct_2"):
        for rows, one in zip(everybody, plain, strict=True):
            expected = event(one, base, name, MEASURES[name], quantile)
            found = when(events, name, prompt_id=rows[0]["prompt_id"], alpha=rows[0]["alpha"])
            assert found == [expected]
