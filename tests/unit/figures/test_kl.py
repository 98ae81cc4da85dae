"""KL along the rollout: spaghetti, normalised or not, quantile fan, and the aggregate page."""

import numpy as np
import polars as pl
import pytest
from figure_examples import (
    ALPHAS,
    METHODS,
    aggregate,
    assert_legend_is_beside,
    drawn_lines,
    forks,
    legend_texts,
    lived,
    normalised,
    panel,
    render,
    spaghetti,
    targets,
    tokens,
    with_prompts,
)
from matplotlib.colors import to_hex
from steerdose.figures.aggregate import aggregate_figure
from steerdose.figures.calibration import calibration_figure
from steerdose.figures.kl_fan import FEW_LEFT, kl_fan_figure
from steerdose.figures.kl_quantiles import even_edges, fork_quantiles, kl_quantiles, numbered
from steerdose.figures.style import ALIVE, DEAD

pytestmark = pytest.mark.filterwarnings("error")  # constrained layout warns when it gives up


@pytest.mark.parametrize(("methods", "alphas"), [(["lora"], [0.0]), (METHODS, ALPHAS)])
def test_spaghetti_figure_has_a_panel_a_dose(methods, alphas):
    figure = spaghetti(tokens(methods, alphas), lived(methods, alphas), targets(methods))
    assert len(figure.axes) == len(methods) * len(alphas)
    if len(methods) == 1:
        assert_legend_is_beside(figure, render(figure))


def test_spaghetti_colours_trajectories_by_life():
    figure = spaghetti(tokens(["lora"], [0.0, 2.0]), lived(["lora"], [0.0, 2.0]), targets(["lora"]))
    drawn = {(alpha, color): seen(figure, alpha, color) for alpha in (0, 2) for color in (ALIVE, DEAD)}
    everything = list(range(1, 7))
    assert drawn[0, ALIVE] == [everything] * 3 and drawn[0, DEAD] == []
    assert drawn[2, ALIVE] == [[1, 2], everything]
    assert drawn[2, DEAD] == [everything, [2, 3, 4, 5, 6]]


def seen(figure, alpha, color):
    """The places t of each line of a colour."""
    pairs = [
        (part[:, 0].tolist(), to_hex(own).upper())
        for lines in drawn_lines(figure, panel(figure, f"alpha {alpha}"))
        for part, own in zip(lines.get_segments(), lines.get_color(), strict=True)
        if len(part)
    ]
    return [t for t, own in pairs if own == color]


def test_spaghetti_draws_median_target_and_ends():
    figure = spaghetti(tokens(["lora"], [1.0]), lived(["lora"], [1.0]), targets(["lora"], 0.7))
    end, target, median = panel(figure, "alpha 1").lines
    assert median.get_ydata() == pytest.approx([(1 + t) / 10 for t in range(1, 7)])
    assert (end.get_marker(), end.get_xdata().tolist(), end.get_ydata().tolist()) == ("|", [6], [pytest.approx(0.8)])
    assert list(target.get_ydata()) == [0.7, 0.7]
    assert "target, 0.7 nats" in legend_texts(figure)


def test_spaghetti_of_unsteered_rollouts_shows_zero_and_target():
    axes = panel(spaghetti(tokens(["lora"], [0.0]), lived(["lora"], [0.0]), targets(["lora"])), "alpha 0")
    bottom, top = axes.get_ylim()
    assert bottom == 0 and top > 1
    assert set(axes.lines[0].get_ydata()) == {0.0}


def test_prompts_have_their_own_spaghetti_without_a_target():
    both = with_prompts(tokens(["lora"], [0.0, 1.0]), tokens(["simple"], [-1.0, 1.0]))
    lives = with_prompts(lived(["lora"], [0.0, 1.0]), lived(["simple"], [-1.0, 1.0]))
    figure = spaghetti(both, lives, with_prompts(targets(["lora"]), targets(["simple"])))
    dotted = [any(line.get_linestyle() == ":" for line in axes.lines) for axes in figure.axes]
    assert dotted == [True, True, False, False]
    assert "target, 1 nats" in legend_texts(figure)


def test_every_sign_has_its_own_target():
    by_sign = targets(["lora"]).with_columns(target=pl.when(pl.col("sign") == "negative").then(3.0).otherwise(0.5))
    figure = spaghetti(tokens(["lora"], [-1.0, 1.0]), lived(["lora"], [-1.0, 1.0]), by_sign)
    assert [panel(figure, f"alpha {a}").lines[-2].get_ydata()[0] for a in (-1, 1)] == [3.0, 0.5]
    assert "target" in legend_texts(figure)
    figure = calibration_figure(by_sign, 0.1, "p95")
    bands = [(band.get_y(), band.get_height()) for band in panel(figure, "seed 0").patches]
    assert bands == [pytest.approx((0.45, 0.1)), pytest.approx((2.7, 0.6))]
    assert "targets ± 10 %" in legend_texts(figure)


def test_one_survivor_lies_above_the_median_and_many_below():
    lives = lived(["lora"], [2.0]).with_columns(died=pl.Series([True, False, True]))
    figure = spaghetti(tokens(["lora"], [2.0]), lives, targets(["lora"]))
    axes = panel(figure, "alpha 2")
    below, above = drawn_lines(figure, axes)
    assert [to_hex(color).upper() for color in above.get_color()] == [ALIVE]
    assert below.get_zorder() < axes.lines[-1].get_zorder() < above.get_zorder()
    figure = spaghetti(tokens(["lora"], [1.0]), lived(["lora"], [1.0]), targets(["lora"]))
    below, above = drawn_lines(figure, panel(figure, "alpha 1"))
    assert (len(below.get_segments()), len(above.get_segments())) == (3, 0)


def test_no_median_of_fewer_than_asked_for():
    few = spaghetti(tokens(["lora"], [1.0]), lived(["lora"], [1.0]), targets(["lora"]), fewest=4)
    assert len(panel(few, "alpha 1").lines[-1].get_xdata()) == 0


def test_a_mean_over_tokens_is_named_on_the_axis():
    figure = spaghetti(tokens(["lora"], [1.0]), lived(["lora"], [1.0]), targets(["lora"]), smoothing=9)
    assert figure.get_supylabel().replace("\n", " ").endswith("(nats), centred mean of 9 tokens")


def test_a_panel_says_how_many_of_its_lines_are_shown():
    many = pl.concat([tokens(["lora"], [1.0]).with_columns(prompt_id=pl.col("prompt_id") + f"_{i}") for i in range(50)])
    lives = many.group_by("prompt_id").agg().sort("prompt_id")
    lives = lives.join(lived(["lora"], [1.0]).head(1).drop("prompt_id"), how="cross")
    figure = spaghetti(many, lives, targets(["lora"]))
    (axes,) = figure.axes
    assert axes.get_title(loc="left").endswith("alpha 1\n100 of 150 shown")
    assert sum(len(part) > 0 for lines in drawn_lines(figure, axes) for part in lines.get_segments()) == 100


def test_normalised_lines_start_at_their_own_level_and_leave_alpha_0_out():
    steps = tokens(["lora"], [0.0, 2.0], length=24)
    figure = normalised(steps, lived(["lora"], [0.0, 2.0]))
    (axes,) = figure.axes
    (level,) = {line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == ":"}
    assert level == 1
    scale = np.quantile(0.4 * np.arange(1, 21), 0.95)
    dead = drawn_lines(figure, axes)[0].get_segments()[1]  # the first prompt died before its first token
    assert dead[:, 1] == pytest.approx(0.4 * np.arange(1, 25) / scale)


def test_a_study_of_short_answers_has_nothing_to_normalise():
    figure = normalised(tokens(["lora"], [1.0], length=19), lived(["lora"], [1.0]))
    assert not figure.axes
    assert figure.texts[0].get_text().startswith("No trajectory has 20 tokens")


def test_the_fan_stops_where_few_are_left():
    steps = tokens(["lora"], [1.0], length=8).filter((pl.col("t") <= 4) | (pl.col("prompt_id") == "p1"))
    lives = lived(["lora"], [1.0])
    quantiles = kl_quantiles(numbered(steps, lives), lives, even_edges(8, 4))
    upper, lower = kl_fan_figure(quantiles, 2).axes
    (median,) = upper.lines
    assert median.get_xdata().tolist() == [0, 2, 4]
    assert median.get_ydata() == pytest.approx([0.25, 0.45, 0.45])
    outer = upper.collections[0].get_datalim(upper.transData)
    assert (outer.x0, outer.x1) == (0, 4)
    (few,) = lower.patches
    assert (few.get_x(), few.get_width(), few.get_hatch()) == (4, 4, FEW_LEFT["hatch"])
    (ended,) = lower.lines
    assert ended.get_xdata().tolist() == [6]
    assert lower.get_yticks().tolist() == [0, 3]


def test_a_study_without_enough_trajectories_has_a_fan_without_bands():
    lives = lived(["lora"], [1.0])
    quantiles = kl_quantiles(numbered(tokens(["lora"], [1.0]), lives), lives, even_edges(6, 4))
    upper, _ = kl_fan_figure(quantiles, 4).axes
    assert not upper.lines and not upper.collections


def test_aggregate_draws_pmass_at_forks_alone_with_both_readings():
    upper, lower = aggregate(tokens(["lora"], [1.0], length=24), lived(["lora"], [1.0])).axes
    unsteered, steered, threshold = lower.lines
    assert steered.get_linestyle() == unsteered.get_linestyle() == "None"
    assert steered.get_xdata().tolist() == unsteered.get_xdata().tolist() == [0, 2, 8, 24]
    assert steered.get_ydata() == pytest.approx([0.8, 0.75, 0.6, 0.2])
    assert set(unsteered.get_ydata()) == {0.9} and set(threshold.get_ydata()) == {0.6}
    (median,) = upper.lines
    assert median.get_xdata().tolist() == [0, 2, 8, 24]
    assert median.get_ydata() == pytest.approx([0.25, 0.65, 1.75, 1.75])


def test_forks_of_few_trajectories_and_other_probes_are_not_drawn():
    lives = lived(["lora"], [1.0])
    read = forks(lives).filter((pl.col("t") < 8) | (pl.col("prompt_id") == "p1"))
    read = pl.concat([read, read.with_columns(probe=pl.lit("second"), pmass=pl.lit(0.0))])
    pmass = fork_quantiles(read, "first")
    assert pmass.filter(t=8)["left"].to_list() == [1, 1]
    kl = kl_quantiles(numbered(tokens(["lora"], [1.0], length=24), lives), lives, [0, 2, 8, 24])
    lower = aggregate_figure(kl, pmass, {"m": 0.6}, 2).axes[1]
    assert [line.get_xdata().tolist() for line in lower.lines[:2]] == [[0, 2], [0, 2]]
