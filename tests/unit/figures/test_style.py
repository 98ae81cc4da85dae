"""What figures share: axes without labels, equal files of equal figures, and what files say of their origin."""

import gc

import matplotlib
import numpy as np
import polars as pl
import pytest
from figure_examples import curve, render, training
from PIL import Image
from steerdose.figures.style import fork_axis, grid_labels, kl_axis, note_handles, panel_grid, save
from steerdose.figures.survival import survival_figure
from steerdose.figures.training import training_figure
from steerdose.flow.provenance import stamp

pytestmark = pytest.mark.filterwarnings("error")  # constrained layout warns when it gives up


def test_axes_without_labels_are_drawn_where_matplotlib_has_them():
    figure, axes = panel_grid([[("one", pl.DataFrame()), ("two", pl.DataFrame())]], 2, [1, 0.5])
    for each in axes.flat:
        kl_axis(each, 9)
        fork_axis(each, [0, 30, 60, 100])
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


def test_both_files_say_what_drew_them(tmp_path):
    save(training_figure(training(["lora"])), tmp_path / "one.png", tmp_path / "one.svg")
    assert Image.open(tmp_path / "one.png").text == {"Description": stamp()}
    assert f"<dc:description>{stamp()}</dc:description>" in (tmp_path / "one.svg").read_text()


def test_a_path_breaks_at_its_slashes():
    (entry,) = note_handles("Shown: 2 of 60 lora_layers; all in results/tables/threshold_sweep.csv")
    assert entry.get_label().split("\n")[-2:] == ["results/tables/", "threshold_sweep.csv"]
    assert note_handles("") == []


def test_drawing_leaves_global_settings_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    save(training_figure(training(["lora"])), tmp_path / "one.png", tmp_path / "one.svg")
    assert dict(matplotlib.rcParams) == before
    assert gc.isenabled()
