"""What became of the trajectories, drawn."""

import numpy as np
import pytest
from figure_examples import STUDIES, assert_legible, curve, panel
from steerdose.figures.incidence import LAYERS, incidence_figure


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_every_study_is_legible(study):
    assert_legible(incidence_figure(study.curves, study.panels))


def test_the_layers_are_the_shares_and_fill_the_panel():
    table = curve(["lora"], [1.0, 2.0])
    figure = incidence_figure(table)
    axes = panel(figure, "alpha 2")
    tops = []
    for layer in axes.collections:
        corners = layer.get_paths()[0].vertices
        tops.append(corners[corners[:, 0] == 128][:, 1].max())
    own = table.filter(alpha=2.0, t=128).row(0, named=True)
    assert tops == pytest.approx(np.cumsum([own["incidence"], own["ended"], 1 - own["incidence"] - own["ended"]]))
    assert len(axes.collections) == len(LAYERS)
