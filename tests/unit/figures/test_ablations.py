"""Figures of a delta's parts: what is drawn are the table's numbers, and empty tables say so."""

import ablation_examples as examples
import polars as pl
import pytest
from figure_examples import assert_legible
from steerdose.declarations.ablations import ABLATIONS, ANGLES
from steerdose.figures.angles import angles_figure
from steerdose.figures.keep_drop import keep_drop_figure, pairs
from steerdose.figures.layer_map import layer_figure
from steerdose.figures.parts import parts_figure
from steerdose.figures.retained import retained_figure
from steerdose.figures.screening import confirmed, screening_figure
from steerdose.files import typed
from steerdose.study.published import PlotScreening

FIGURES = (retained_figure, layer_figure, keep_drop_figure, parts_figure)
METHODS = [f"family_{i}" for i in range(7)]


def ablations(methods=("lora",), layers=(9, 10, 11), behaviors=("b",), known=True):
    """A table of parts: layers with an equal share, roles, ranks, subspaces, random copies; at coefficient and KL."""
    planted = examples.sides("layer", **{f"_{layer}": (0.3 + 0.01 * i, 0.7) for i, layer in enumerate(layers)})
    planted |= examples.sides("role", writers=(0.9, 0.2), readers=(0.2, 0.9), attention=(0.1, 0.8), mlp=(0.7, 0.3))
    planted |= examples.sides("rank", _1=(0.4, 0.6), _4=(0.95, 0.1)) | examples.sides("shared", _8=(0.5, 0.5))
    planted |= examples.sides("form", rows=(0.01, 0.99)) | examples.sides("random_basis", _8=(0.02, 0.98))
    planted |= {("random", str(i), "keep", "coefficient"): 0.03 * i for i in range(3)}
    planted |= {("random", str(i), "keep", "energy0.1"): 0.01 * i for i in range(3)}
    planted |= {(way, part, side, "kl"): 0.9 for way, part, side, at in planted if at == "coefficient"}
    rows = []
    for behavior in behaviors:
        for method in methods:
            for row in examples.table(planted).values():
                whole = {**dict.fromkeys(each.name for each in ABLATIONS.columns), **row}
                energy = {"keep": 0.3, "drop": 0.7}[row["side"]] if row["way"] not in ("random", "whole") else 1.0
                whole |= {"model": "m", "behavior": behavior, "seed": 0, "method": method, "energy": energy, "note": ""}
                if row["at"] == "energy0.1":
                    whole["energy"] = 0.1
                if not known:
                    whole |= dict.fromkeys(("retained", "retained_low", "retained_high", "removed"))
                rows.append({each.name: whole[each.name] for each in ABLATIONS.columns})
    return typed(rows, ABLATIONS)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda each: each.__name__)
@pytest.mark.parametrize(
    "given", [{}, {"methods": METHODS}, {"behaviors": ("b", "other"), "methods": METHODS[:2], "layers": range(9, 24)}],
    ids=["one", "seven", "cells"],
)  # fmt: skip
def test_figures_are_legible(figure, given):
    assert_legible(figure(ablations(**given)))


@pytest.mark.parametrize("figure", FIGURES, ids=lambda each: each.__name__)
def test_a_whole_without_an_effect_is_said_and_not_drawn(figure):
    for table in (ablations(known=False), ablations().clear()):
        drawn = figure(table)
        (axes,) = drawn.axes
        assert axes.get_title(loc="left").startswith("no delta with an effect was taken apart")
        assert not axes.lines


def test_the_map_has_every_layers_percentages():
    figure = layer_figure(ablations(methods=("lora", "dora")))
    keep, drop = figure.axes[:2]
    assert keep.get_title(loc="left").startswith("retained by the layer alone")
    values = keep.images[0].get_array()
    table = ablations().filter(way="layer", side="keep", at="coefficient")
    assert values.shape == (2, 3)
    assert values[0].tolist() == pytest.approx(table["retained"].to_list())
    assert [text.get_text() for text in keep.texts][:3] == [f"{100 * value:.0f}" for value in table["retained"]]
    assert drop.images[0].get_array()[0][0] == pytest.approx(0.3, abs=0.1)


def test_keep_and_drop_of_a_part_are_one_point_and_the_corners_are_named():
    found = pairs(ablations())
    writers = found.filter(part="writers").row(0, named=True)
    assert (writers["retained"], writers["removed"]) == (pytest.approx(0.9, abs=0.1), pytest.approx(0.8, abs=0.1))
    figure = keep_drop_figure(ablations())
    (axes,) = figure.axes
    assert {"localised", "redundant", "bottleneck", "distributed"} <= {text.get_text() for text in axes.texts}
    points = [point for line in axes.lines if line.get_marker() == "o" for point in zip(*line.get_data(), strict=True)]
    assert any(point == pytest.approx((writers["retained"], writers["removed"])) for point in points)


def test_rows_over_all_seeds_are_shown_where_there_are_any():
    one = ablations()
    pooled = one.with_columns(seeds=pl.lit(3, pl.Int64), seed=pl.lit(None, pl.Int64), retained=pl.col("retained") / 2)
    alone, both = (pairs(table) for table in (one, pl.concat([one, pooled])))
    assert both["retained"].to_list() == pytest.approx((alone["retained"] / 2).to_list())


def test_parts_of_one_way_stand_together_also_where_only_another_family_has_them():
    more = ablations(methods=["lora", "oft"]).with_columns(
        part=pl.when(method="oft", way="rank", part="4").then(pl.lit("64")).otherwise("part")
    )
    names = [label.get_text() for label in parts_figure(more).axes[0].get_yticklabels()]
    ranks = [i for i, name in enumerate(names) if name.startswith("rank")]
    assert len(ranks) == 3
    assert ranks[-1] - ranks[0] == 2


def test_angles_are_means_over_layers():
    rows = [
        {"model": "m", "behavior": "b", "seed": 0, "layer": layer, "method": one, "against": other, "width": 8,
         "overlap": 1.0 if one == other else 0.2 * layer, "chance": 0.1, "smallest": 0.0, "largest": 9.0}
        for layer in (1, 2) for one in ("lora", "dora") for other in ("lora", "dora")
    ]  # fmt: skip
    figure = angles_figure(typed(rows, ANGLES))
    assert figure.axes[0].images[0].get_array().tolist() == [[1.0, pytest.approx(0.3)], [pytest.approx(0.3), 1.0]]
    assert_legible(figure)
    assert angles_figure(None).axes[0].get_title(loc="left") == "one family alone was taken apart"


def test_the_screen_is_held_against_what_the_same_part_does_to_written_texts():
    settings = PlotScreening(
        parts={f"p.{name}": ("lora", "role", name, "keep") for name in ("writers", "readers", "mlp")},
        effects={"b": ("mood", "valence")},
    )
    effects = pl.DataFrame(
        [
            {"model": "m", "behavior": "b", "seed": 0, "method": f"p.{name}", "task": "mood", "measure": "valence",
             "alpha": alpha, "effect": value * alpha, "effect_low": value - 0.1, "effect_high": value + 0.1}
            for name, value in (("writers", 0.5), ("readers", 0.3), ("mlp", 0.4), ("attention", 0.9))
            for alpha in (1.0, 2.0)
        ]
    )  # fmt: skip
    points = confirmed(ablations(), effects, settings)
    assert dict(points.select("name", "written").iter_rows()) == {"p.writers": 0.5, "p.readers": 0.3, "p.mlp": 0.4}
    assert set(points["at"]) == {"kl"}
    figure = screening_figure(points)
    assert "3 parts, rank correlation" in figure.axes[0].get_title(loc="left")
    none = confirmed(ablations(), effects, settings.model_copy(update={"parts": {}}))
    assert screening_figure(none).axes[0].get_title(loc="left").startswith("no part that was screened is a method")
