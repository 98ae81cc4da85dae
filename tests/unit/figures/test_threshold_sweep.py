"""The figure of the threshold sweep."""

import numpy as np
import pytest
from figure_examples import assert_legend_is_beside, overlaps, panel, render
from steerdose.figures.threshold_sweep import threshold_sweep_figure
from sweep_examples import fading, rollouts, sweep

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


def test_prompts_alone_are_drawn():
    render(threshold_sweep_figure(*sweep(*rollouts(fading, ("prompt",), (0.0, 1.0)))))
