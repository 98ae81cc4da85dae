"""Texts that break and texts about nothing, drawn."""

import polars as pl
import pytest
from figure_examples import STUDIES, assert_legible, panel
from steerdose.columns import METHOD
from steerdose.figures.relevance import relevance_figure


def shares(lives):
    """Of every method and dose: a third is dead."""
    at = lives.select(*METHOD, "alpha", "coefficient").unique(maintain_order=True)
    return at.with_columns(n=3, dead=1 / 3, dead_low=0.1, dead_high=0.7)


def verdicts(shares):
    share = pl.col("alpha").abs() / 10
    limits = {"irrelevant": share, "irrelevant_low": share / 2, "irrelevant_high": share + 0.1}
    return shares.select(*METHOD, "alpha", "n").with_columns(**limits, gain=0.5, limit=0.2)


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_every_study_is_legible(study):
    own = shares(study.lives)
    assert_legible(relevance_figure(own, verdicts(own), study.panels))


def test_both_shares_stand_side_by_side():
    own = shares(STUDIES["one"].lives)
    axes = panel(relevance_figure(own, verdicts(own)), "lora")
    broken, irrelevant = (container.lines[0] for container in axes.containers)
    alphas = own.filter(method="lora")["alpha"].sort()
    assert broken.get_ydata() == pytest.approx([1 / 3] * len(alphas))
    assert irrelevant.get_ydata() == pytest.approx((alphas.abs() / 10).to_list())
    assert all(abs(a - b) < 0.1 for a, b in zip(broken.get_xdata(), alphas, strict=True))
    assert all(a < b for a, b in zip(broken.get_xdata(), irrelevant.get_xdata(), strict=True))
