"""The scatter of hypotheses: a point each, at its recovery of stream and weights."""

import polars as pl
import pytest
from steerdose.declarations.subspaces import SUBSPACES
from steerdose.figures.subspaces import subspaces_figure
from steerdose.files import typed

POINTS = {"write": ("write", 5.0, 2.0), "diff_in_means": ("mixed", 20.0, 1.1), "kv_super": ("read", 1.2, 0.9)}


def table(methods=("lora",), widths=(1, 8), seeds=(0,)):
    rows = [
        {
            "model": "m", "behavior": "b", "seed": seed, "method": method, "seeds": 1 if seed is not None else 3,
            "subspace": name, "axis": axis, "family": "f", "target": target, "width": width, "blocks": 2,
            "recovery": stream if target == "stream" else weights, "best": 60.0, "excess": 0.1,
        }
        for method in methods
        for seed in seeds
        for name, (axis, stream, weights) in POINTS.items()
        for target in ("stream", "written", "down")
        for width in widths
    ]  # fmt: skip
    return typed([{each.name: row.get(each.name) for each in SUBSPACES.columns} for row in rows], SUBSPACES)


def points(axes):
    return [(*line.get_xdata(), *line.get_ydata()) for line in axes.lines if line.get_marker() in "o^s" and len(
        line.get_xdata()) == 1]  # fmt: skip


def test_every_hypothesis_is_a_point_in_the_panel_of_its_axis():
    figure = subspaces_figure(table())
    left, right = figure.axes
    assert sorted(points(left)) == [(5.0, 2.0), (20.0, 1.1)]
    assert points(right) == [(1.2, 0.9)]
    assert {text.get_text() for text in left.texts} == {"write", "diff_in_means"}
    assert "8 directions" in figure.get_supxlabel()


def test_over_seeds_the_mean_is_drawn_and_each_method_has_a_row():
    figure = subspaces_figure(table(methods=("lora", "ia3"), seeds=(0, 1, None)))
    assert len(figure.axes) == 4
    assert len(points(figure.axes[0])) == 2


@pytest.mark.parametrize("empty", [table().clear(), table().filter(pl.col("target") == "down")])
def test_a_study_without_a_sweep_says_so(empty):
    assert "no delta" in subspaces_figure(empty).axes[0].get_title(loc="left")
