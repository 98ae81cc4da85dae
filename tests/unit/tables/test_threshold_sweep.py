"""The threshold sweep: at each threshold what the survival modules say on their own; ranks, noise floor, figure."""

import itertools

import numpy as np
import polars as pl
import pytest
from figure_examples import assert_legend_is_beside, overlaps, panel, render
from steerdose.figures.threshold_sweep import threshold_sweep_figure
from steerdose.survival.dose_response import dose_shares, lethal_doses
from steerdose.survival.kaplan_meier import kaplan_meier
from steerdose.survival.lifetimes import lifetimes
from steerdose.tables.threshold_sweep import CELL, ORDER, UNSTEERED, sweep_texts, threshold_sweep

GRID = [0, 8, 64]
OPTIONS = {
    "kind": "absolute", "value": 0.75, "values": [0.5, 0.75, 0.9], "times": GRID, "confidence": 0.95, "safe_level": 0.5,
}  # fmt: skip


def rollouts(pmass_of, methods=("a",), alphas=(0.0, 1.0, 2.0), prompts=8, model="m"):
    """Forks and trajectories; pmass_of(method, alpha, prompt, t); every third prompt ends at 20 tokens."""
    forks, trajectories = [], []
    for method, alpha, prompt in itertools.product(methods, alphas, range(prompts)):
        coefficient = None if method.startswith("prompt") and alpha else 2 * alpha
        key = {"model": model, "behavior": "b", "seed": 0, "method": method, "alpha": alpha}
        key |= {"coefficient": coefficient, "prompt_id": f"p{prompt}"}
        ended = prompt % 3 == 0
        trajectories.append(key | {"n_tokens": 20 if ended else 64, "ended": ended, "text": ""})
        forks += [
            key | {"probe": "x", "reading": "steered", "t": t, "pmass": pmass_of(method, alpha, prompt, t)}
            for t in (GRID[:2] if ended else GRID)
        ]
    return pl.DataFrame(forks), pl.DataFrame(trajectories)


def fading(method, alpha, prompt, t):
    """Falls with dose and time, and differently for each prompt and method."""
    toughness = 1 + "abcdefghijklmnopqrst".find(method[-1]) / 4
    return 0.97 - min(0.9, abs(alpha) * (0.05 + 0.02 * prompt + t / 200) / toughness)


def sweep(forks, trajectories, medians=None, **changes):
    return threshold_sweep(forks, trajectories, medians or {"m": 0.9}, **(OPTIONS | changes))


@pytest.mark.parametrize("threshold", [0.5, 0.75, 0.9])
def test_each_threshold_gives_what_survival_says_there(threshold):
    forks, trajectories = rollouts(fading, ("b", "a", "prompt"), (-2.0, -1.0, 0.0, 1.0, 2.0))
    shares, doses = sweep(forks, trajectories)
    expected = []
    for method in ("b", "a", "prompt"):
        lives = lifetimes(forks.filter(method=method), trajectories.filter(method=method), threshold, 64)
        expected.append(kaplan_meier(lives, GRID)[0])
    expected = dose_shares(pl.concat(expected))
    found = shares.filter(value=threshold)
    assert found.drop("value", "configured").equals(expected)
    assert found["configured"].unique().to_list() == [threshold == 0.75]
    lethal = lethal_doses(expected, 0.5)
    assert doses.filter(value=threshold).select(lethal.columns).equals(lethal)


def test_a_higher_threshold_calls_more_dead_and_the_lethal_dose_smaller():
    def level(method, alpha, prompt, t):
        return {0: 0.92, 1: 0.8, 2: 0.6}[alpha]

    shares, doses = sweep(*rollouts(level), values=[0.55, 0.7, 0.85], safe_level=0.4)
    assert doses["value"].to_list() == [0.55, 0.7, 0.75, 0.85], "the configured one is always there"
    assert doses["status"].to_list() == ["above", "inside", "inside", "below"]
    assert doses["ld50"].to_list() == [None, pytest.approx(2**0.5), pytest.approx(2**0.5), None]
    assert doses["safe_dose"].to_list() == [2, 1, 1, None]
    assert shares.filter(alpha=1)["dead"].to_list() == [0, 0, 0, 1]


def test_the_unsteered_model_shows_the_noise_floor():
    def level(method, alpha, prompt, t):
        return 0.8 if alpha or prompt < 2 else 0.95

    _, doses = sweep(*rollouts(level), values=[0.75, 0.9])
    assert doses["unsteered_dead"].to_list() == [0, 0.25]


def test_relative_thresholds_are_shares_of_each_models_own_median():
    def level(method, alpha, prompt, t):
        return {0: 0.9, 1: 0.5, 2: 0.3}[alpha]

    parts = [rollouts(level, model=model) for model in ("one", "two")]
    forks, trajectories = (pl.concat(frames) for frames in zip(*parts, strict=True))
    options = {"kind": "relative", "value": 0.75, "values": [0.5]}
    _, doses = sweep(forks, trajectories, {"one": 0.9, "two": 0.6}, **options)
    found = {(model, value): dose for model, value, dose in doses.select("model", "value", "ld50").iter_rows()}
    middle = pytest.approx(2**0.5)
    # thresholds 0.45, 0.675, 0.3 and 0.45; pmass 0.5 at dose 1 and 0.3 at dose 2
    assert found == {("one", 0.5): middle, ("one", 0.75): None, ("two", 0.5): None, ("two", 0.75): middle}
    assert doses.filter(model="one", value=0.75)["status"].to_list() == ["below"]


def ranked(orders):
    """A sweep over two thresholds, with the dose at which each method dies at each of them."""

    def level(method, alpha, prompt, t):
        return 0.95 - 0.3 * (alpha >= orders[method][1]) - 0.3 * (alpha >= orders[method][0])

    return sweep(*rollouts(level, tuple(orders), (0.0, 1.0, 2.0, 3.0)), values=[0.5, 0.9], value=0.5)


def test_ranks_are_of_lethal_doses_and_ties_share():
    _, doses = ranked({"a": (2, 1), "b": (3, 1), "c": (9, 3), "d": (9, 2)})
    first, second = (doses.filter(value=value).select("method", "rank").rows() for value in (0.5, 0.9))
    assert first == [("a", 4), ("b", 3), ("c", 1), ("d", 1)]
    assert second == [("a", 3), ("b", 3), ("c", 1), ("d", 2)]


def test_agreement_in_order_is_kendalls_tau():
    _, doses = ranked({"a": (2, 3), "b": (3, 2), "c": (9, 1)})
    assert doses.filter(value=0.5)["tau"].to_list() == pytest.approx([1] * 3)
    assert doses.filter(value=0.9)["tau"].to_list() == pytest.approx([-1] * 3)
    _, tied = ranked({"a": (2, 1), "b": (3, 1)})
    assert tied.filter(value=0.9)["tau"].to_list() == [None, None]


def test_readers_see_a_column_a_threshold():
    forks, trajectories = rollouts(fading, ("b", "a"), (-2.0, -1.0, 0.0, 1.0, 2.0))
    texts = sweep_texts(sweep(forks, trajectories)[1])
    assert texts.columns == [*CELL, "method", "sign", "0.5", "0.75 (set)", "0.9"]
    assert texts.select("method", "sign").rows() == [
        ("b", "positive"), ("b", "negative"), ("a", "positive"), ("a", "negative"),
        (UNSTEERED, ""), (ORDER, "positive"), (ORDER, "negative"),
    ]  # fmt: skip
    assert texts["0.5"][0] == "1.41 (1)"
    assert texts["0.75 (set)"][4:].to_list() == ["0.00", "", ""], "both methods are tied"


def test_prompts_and_alpha_0_alone_have_shares_and_no_lethal_dose():
    shares, doses = sweep(*rollouts(fading, ("prompt",), (0.0, 1.0)))
    assert doses.is_empty() and len(shares) == 6
    render(threshold_sweep_figure(shares, doses))
    assert sweep_texts(doses).is_empty()


WIDE = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.96]
SIZES = {
    "one": rollouts(fading, ("a",), (2.0,)),
    "twelve": rollouts(
        fading, [f"method_{letter}" for letter in "abcdefghijkl"], (-4, -2, -1, -0.5, 0, 0.25, 0.5, 1, 1.5, 2, 3, 4)
    ),
    "prompts": rollouts(fading, ("a", "b", "prompt"), (-1, 0, 1)),
    "a_row_that_is_not_full": rollouts(fading, [f"method_{letter}" for letter in "abcdefg"], (0, 1)),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", SIZES)
def test_panels_and_their_labels_do_not_overlap(name):
    shares, doses = sweep(*SIZES[name], values=[0.75] if name == "one" else WIDE)
    figure = threshold_sweep_figure(shares, doses)
    renderer = render(figure)
    assert_legend_is_beside(figure, renderer)
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert len(panels) == shares["method"].n_unique()
    for axes in panels:
        labels = [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.title]
        boxes = [label.get_window_extent(renderer) for label in labels if label.get_visible()]
        assert not overlaps([box for box in boxes if box.width])
        assert (
            len(axes.collections[0].get_paths())
            == shares.filter(method=axes.get_title(loc="left").split("\n")[-1]).height
        )


def test_cells_and_lethal_doses_are_the_tables():
    shares, doses = sweep(*rollouts(fading))
    axes = panel(threshold_sweep_figure(shares, doses), "a")
    assert axes.collections[0].get_array().tolist() == shares["dead"].to_list()
    mark, line = axes.lines
    assert mark.get_xdata().tolist() == [1], "the configured one is the second of three"
    expected = [np.nan if each is None else 1 + np.log2(each) for each in doses.sort("value")["ld50"]]
    assert line.get_ydata().tolist() == pytest.approx(expected, nan_ok=True)
    assert np.isnan(expected).any() and not np.isnan(expected).all()
