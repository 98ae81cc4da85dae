"""Who is dead at which delivered KL, drawn."""

import polars as pl
import pytest
from dose_figure_examples import SIZES, response
from figure_examples import assert_legible
from steerdose.columns import METHOD
from steerdose.figures.equal_kl import equal_kl_figure


def delivered(shares):
    """p95 is the square of alpha, between half and twice that."""
    p95 = pl.col("alpha") ** 2
    limits = {"mean": p95 / 3, "p95_low": p95 / 2, "p95_high": 2 * p95}
    return shares.select(*METHOD, "alpha", "n").with_columns(p95=p95, **limits)


@pytest.mark.parametrize("name", [name for name in SIZES if name != "no_dose"])
def test_every_study_is_legible(name):
    shares = response(*SIZES[name])[0]
    assert_legible(equal_kl_figure(shares, delivered(shares)))


def test_without_a_dose_it_says_so():
    shares = response(*SIZES["no_dose"])[0]
    (axes,) = equal_kl_figure(shares, delivered(shares)).axes
    assert axes.get_title(loc="left") == "no dose was rolled out"


def test_a_point_a_dose_and_no_prompt():
    shares = response(*SIZES["prompts"])[0]
    figure = equal_kl_figure(shares, delivered(shares))
    own = shares.filter(pl.col("alpha") > 0, method="method_0").sort("alpha")
    line = figure.axes[1].containers[0].lines[0]
    assert line.get_xdata().tolist() == [alpha**2 for alpha in own["alpha"]]
    assert line.get_ydata().tolist() == own["dead"].to_list()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["method_0", "method_1", "method_2"]
