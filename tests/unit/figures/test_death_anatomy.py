"""The figure of deaths: what its bars add up to, and that it is legible from 1 x 1 to 12 x 12."""

import itertools

import numpy as np
import polars as pl
import pytest
from figure_examples import ALPHAS, MANY, MANY_PANELS, METHODS, assert_legible, overlaps, render
from steerdose.figures.death_anatomy import DAMAGE, HISTORIES, death_anatomy_figure

pytestmark = pytest.mark.filterwarnings("error")  # constrained layout warns when it gives up


def table(methods, alphas, read=True):
    """Deaths grow with the dose, and are spread over the kinds."""
    generator, rows = np.random.default_rng(0), []
    for method, alpha in itertools.product(methods, alphas):
        died = min(12, int(4 * abs(alpha)))
        kinds = {}
        for looks in (HISTORIES, DAMAGE):
            kinds |= dict(zip(looks, generator.multinomial(died, [1 / len(looks)] * len(looks)).tolist(), strict=True))
        if not read:
            kinds |= {"readout": 0, "text": 0, "not_read": died}
        names = {"model": "m", "behavior": "b", "seed": 0, "method": method, "alpha": alpha}
        rows.append(names | {"n": 12, "died": died} | kinds)
    return pl.DataFrame(rows)


@pytest.mark.parametrize(("methods", "alphas"), [(["lora"], [1.5]), (["lora"], ALPHAS), (METHODS, ALPHAS)])
@pytest.mark.parametrize("read", [True, False])
def test_nothing_overlaps(methods, alphas, read):
    figure = death_anatomy_figure(table(methods, alphas, read))
    renderer = render(figure)
    assert len(figure.axes) == len(methods)
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes] + [figure.legends[0].get_window_extent(renderer)]
    assert not overlaps(boxes)
    for axes in figure.axes:
        labels = [label.get_window_extent(renderer) for label in axes.get_xticklabels()]
        assert not overlaps(labels)
    assert (" ".join(text.get_text() for text in figure.legends[0].get_texts()).count("narrow bar") == 1) == read


def test_of_many_members_some_have_panels():
    figure = death_anatomy_figure(table(MANY, [-1.0, 0.0, 1.0, 2.0]), MANY_PANELS)
    assert_legible(figure)
    assert len(figure.axes) == 12


@pytest.mark.parametrize("read", [True, False])
def test_both_bars_of_a_dose_are_as_high_as_the_share_that_died(read):
    frame = table(["lora"], ALPHAS, read)
    (axes,) = death_anatomy_figure(frame).axes
    tops = {}
    for bar in axes.patches:
        tops[round(bar.get_x(), 6)] = max(tops.get(round(bar.get_x(), 6), 0), bar.get_y() + bar.get_height())
    shares = (frame["died"] / frame["n"]).to_list()
    heights = [tops[place] for place in sorted(tops)]
    assert heights == pytest.approx(list(np.repeat(shares, 2 if read else 1)))


def test_a_method_that_kills_nobody_says_so():
    figure = death_anatomy_figure(table(["lora", "mean_diff"], [0.0, 2.0]).with_columns(died=pl.lit(0)))
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["none died"] * 2
