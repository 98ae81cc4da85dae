"""Survival by dose: a panel an alpha, a curve a method."""

import polars as pl
import pytest
from figure_examples import (
    STUDIES,
    assert_legend_is_beside,
    assert_legible,
    curve,
    legend_texts,
    panel,
    render,
    with_prompts,
)
from steerdose.figures.survival_by_dose import survival_by_dose_figure

pytestmark = pytest.mark.filterwarnings("error")  # constrained layout warns when it gives up


@pytest.mark.parametrize("name", STUDIES)
def test_nothing_overlaps(name):
    study = STUDIES[name]
    assert_legible(survival_by_dose_figure(study.curves, study.panels))


def test_survival_by_dose_has_a_panel_an_alpha_and_its_sign_of_each_prompt():
    steered = curve(["lora", "mean"], [0.0, 3.0, -1.0])
    prompts = curve(["simple"], [-1.0, 0.0, 1.0]).with_columns(survival=pl.col("survival") * 0.6)
    figure = survival_by_dose_figure(with_prompts(steered, prompts))
    assert_legend_is_beside(figure, render(figure))
    panels = [axes for axes in figure.axes if axes.get_xlabel()]
    assert [axes.get_title(loc="left").split("\n")[-1] for axes in panels] == ["alpha -1", "alpha 0", "alpha 3"]
    assert legend_texts(figure) == ["lora", "mean", "confidence\ninterval", "simple", "simple, negative"]
    for axes, color in zip(panels, ("0.5", "black", "black"), strict=True):
        drawn = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
        assert len(drawn) == 3
        assert drawn[-1].get_color() == color and drawn[-1].get_ydata()[1] == 0.6
    ends = [line.get_ydata()[-1] for line in panels[2].lines if line.get_drawstyle() == "steps-post"]
    assert ends == [0, 0, 0.6]


def test_intervals_by_dose_are_those_of_the_curve_at_their_place():
    table = curve(["lora", "mean"], [3.0])
    axes = panel(survival_by_dose_figure(table), "alpha 3")
    bars = [line for line in axes.lines if line.get_linewidth() == 1]
    assert len({bar.get_xdata()[0] for bar in bars}) == len(bars) == 2
    for bar in bars:
        row = table.filter((pl.col("method") == "lora") & (pl.col("t") <= bar.get_xdata()[0])).row(-1, named=True)
        assert list(bar.get_ydata()) == [row["ci_low"], row["ci_high"]]
