"""KL above, the probe below."""

import polars as pl
import pytest
from figure_examples import STUDIES, aggregate, assert_legible, forks, lived, tokens
from steerdose.figures.aggregate import aggregate_figure
from steerdose.figures.kl_quantiles import fork_quantiles, kl_quantiles, numbered

pytestmark = pytest.mark.filterwarnings("error")  # constrained layout warns when it gives up


@pytest.mark.parametrize("name", STUDIES)
def test_nothing_overlaps(name):
    study = STUDIES[name]
    assert_legible(aggregate(study.steps, study.lives, panels=study.panels))


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
