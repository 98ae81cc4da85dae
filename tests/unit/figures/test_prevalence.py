"""How many texts are broken at a time, drawn."""

import polars as pl
import pytest
from figure_examples import STUDIES, assert_legible, panel
from steerdose.columns import COHORT
from steerdose.figures.prevalence import prevalence_figure


def states(lives):
    """Of every cohort: 3 write at first and 2 in the end, 0, 2 and 1 of them broken."""
    at = pl.DataFrame({"t": [0, 64, 128], "n": [3, 3, 2], "broken": [0, 2, 1]})
    return lives.select(COHORT).unique(maintain_order=True).with_columns(endpoint=pl.lit("text")).join(at, how="cross")


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_every_study_is_legible(study):
    assert_legible(prevalence_figure(states(study.lives), study.panels))


def test_a_curve_falls_where_texts_recover():
    figure = prevalence_figure(states(STUDIES["one"].lives))
    (line,) = panel(figure, "lora").lines
    assert line.get_xydata().tolist() == [[0, 0], [64, pytest.approx(2 / 3)], [128, 0.5]]
