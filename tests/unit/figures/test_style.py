"""What holds for every figure: no text lies on another, equal figures are equal files."""

import gc
import itertools

import matplotlib
import numpy as np
import polars as pl
import pytest
from figure_examples import (
    ALPHAS,
    METHODS,
    aggregate,
    calibration,
    curve,
    each_model,
    lived,
    normalised,
    render,
    spaghetti,
    texts,
    tokens,
    training,
    with_prompts,
)
from steerdose.figures.calibration import calibration_figure
from steerdose.figures.kl_fan import kl_fan_figure
from steerdose.figures.kl_quantiles import even_edges, kl_quantiles, numbered
from steerdose.figures.style import fork_axis, grid_labels, kl_axis, panel_grid, save
from steerdose.figures.survival import survival_figure
from steerdose.figures.survival_by_dose import survival_by_dose_figure
from steerdose.figures.training import training_figure

pytestmark = pytest.mark.filterwarnings("error")  # constrained layout warns when it gives up


def every_figure(methods, alphas, models=("m",), prompts=()):
    """Yield the name and figure of all that this module tests, on the same study."""
    signs = [-1.0, 0.0, 1.0]
    curves = curve(methods, alphas, models)
    calibrations = each_model(calibration(methods), models)
    lives, steps = lived(methods, alphas, models), each_model(tokens(methods, alphas, length=24), models)
    if prompts:
        curves = with_prompts(curves, curve(prompts, signs, models))
        calibrations = with_prompts(calibrations, each_model(calibration(prompts).filter(pl.col("step") == 3), models))
        lives = with_prompts(lives, lived(prompts, signs, models))
        steps = with_prompts(steps, each_model(tokens(prompts, signs, length=24), models))
    yield "survival", survival_figure(curves)
    yield "survival_by_dose", survival_by_dose_figure(curves)
    yield "calibration", calibration_figure(calibrations, 0.05, "p95")
    yield "training", training_figure(each_model(training(methods), models))
    yield "spaghetti", spaghetti(steps, lives, calibrations, smoothing=5)
    yield "spaghetti_normalised", normalised(steps, lives)
    yield "aggregate", aggregate(steps, lives)
    yield "kl_fan", kl_fan_figure(kl_quantiles(numbered(steps, lives), lives, even_edges(24, 8)), 2)


@pytest.mark.parametrize(
    "study",
    [
        {"methods": ["lora"], "alphas": [1.0]},
        {"methods": METHODS, "alphas": ALPHAS},
        {
            "methods": ["lora", "mean"],
            "alphas": [-1.0, 0.0, 1.0, 2.0],
            "models": ["one", "two"],
            "prompts": ["simple", "long"],
        },
    ],
    ids=["one", "twelve", "cells and prompts"],
)
def test_no_text_lies_on_another_or_outside(study):
    for name, figure in every_figure(**study):
        seen = texts(figure, render(figure))
        assert len(seen) > 5, name
        for (a, box), (b, other) in itertools.combinations(seen, 2):
            assert not box.overlaps(other), (name, a, b)
        for text, box in seen:
            assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, (name, text)


def test_axes_without_labels_are_drawn_where_matplotlib_has_them():
    figure, axes = panel_grid([[("one", pl.DataFrame()), ("two", pl.DataFrame())]], 2, [1, 0.5])
    for each in axes.flat:
        kl_axis(each, 9)
        fork_axis(each, [0, 1, 10, 100])
        each.spines[["left", "bottom"]].set_position(("outward", 5))
    render(figure)
    upper = axes[0, 0, 1]  # no labels at the left, none below
    expected = []
    sides = (upper.xaxis, upper.spines.bottom, (0, 1)), (upper.yaxis, upper.spines.left, (1, 0))
    for axis, spine, out in sides:
        expected.append(spine.get_transform().transform(spine.get_path().vertices))
        for line in (tick.tick1line for tick in axis.get_major_ticks()):
            start = line.get_transform().transform(line.get_xydata())[0]
            expected.append([start, start - 3.5 / 72 * figure.dpi * np.array(out)])
    grid_labels(figure, "x", "y", [])
    found = figure.dpi * np.array(figure.artists[0].get_segments())
    assert all(np.isclose(found, line).all(axis=(1, 2)).any() for line in expected)
    assert len(expected) == 2 + 4 + 5
    assert len(found) == 2 * (1 + 4) + 2 * (1 + 5)
    assert [each.xaxis.get_visible() for each in axes.flat] == [False, False, True, True]


def test_saved_bytes_depend_on_the_figure_only(tmp_path):
    for name in ("one", "two"):
        save(survival_figure(curve(["lora"], [0.0, 2.0])), tmp_path / f"{name}.png", tmp_path / f"{name}.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "one.svg", "two.png", "two.svg"]
    for suffix in ("png", "svg"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    assert b"<dc:date>" not in (tmp_path / "one.svg").read_bytes()


def test_drawing_leaves_global_settings_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    save(training_figure(training(["lora"])), tmp_path / "one.png", tmp_path / "one.svg")
    assert dict(matplotlib.rcParams) == before
    assert gc.isenabled()
