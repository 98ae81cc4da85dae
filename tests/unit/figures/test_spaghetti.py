"""KL of every trajectory: colours by life, median, target and ends."""

import polars as pl
import pytest
from figure_examples import (
    ALPHAS,
    METHODS,
    STUDIES,
    assert_legend_is_beside,
    assert_legible,
    drawn_lines,
    legend_texts,
    lived,
    panel,
    render,
    spaghetti,
    targets,
    tokens,
    with_prompts,
)
from matplotlib.colors import to_hex
from steerdose.figures.style import ALIVE, DEAD

pytestmark = pytest.mark.filterwarnings("error")  # constrained layout warns when it gives up


@pytest.mark.parametrize("name", STUDIES)
def test_nothing_overlaps(name):
    study = STUDIES[name]
    assert_legible(spaghetti(study.steps, study.lives, study.calibrations, smoothing=5, panels=study.panels))


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
