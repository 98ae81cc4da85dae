"""Figures of subspaces: what is shown is what the tables say, and a study without a sweep says so."""

import polars as pl
import pytest
from steerdose.declarations.subspaces import SUBSPACE_PARTS, SUBSPACE_SCORES, SUBSPACES
from steerdose.figures.subspace_effects import effects_figure
from steerdose.figures.subspace_layers import layers_figure
from steerdose.figures.subspace_stability import stability_figure
from steerdose.files import typed

NAMES = {"write": "write", "diff_in_means": "mixed", "kv_super": "read", "gate_kernel": "write", "churn": "mixed"}


def scores(seeds=(0, 1)):
    rows = [
        {
            "model": "m", "behavior": "b", "seed": seed, "method": "lora", "subspace": name, "axis": axis,
            "family": "f", "target": target, "width": 8, "blocks": 2, "recovery": 1.0 + i + (seed or 0), "best": 60.0,
            "excess": 0.1, "seeds": 1 if seed is not None else len(seeds),
            "low": 0.5 + i if target == "stream" else None, "high": 3.0 + i if target == "stream" else None,
        }
        for seed in (*seeds, None)
        for i, (name, axis) in enumerate(NAMES.items())
        for target in ("stream", "written", "down")
    ]  # fmt: skip
    return typed([{each.name: row.get(each.name) for each in SUBSPACES.columns} for row in rows], SUBSPACES)


def parts():
    values = {f"{name}-8": 0.1 * i for i, name in enumerate(NAMES)}
    values |= {"own-8": 0.8, "written": 0.9, "random0-8": -0.05, "random1-8": 0.06}
    rows = [
        {"model": "m", "behavior": "b", "method": method, "seeds": 2, "way": "subspace", "part": name, "side": "keep",
         "at": at, "retained": share}
        for method in ("lora", "mean_diff")
        for at in ("coefficient", "kl")
        for name, share in values.items()
    ]  # fmt: skip
    return typed([{each.name: row.get(each.name) for each in SUBSPACE_PARTS.columns} for row in rows], SUBSPACE_PARTS)


def by_block(blocks=(1, 2)):
    rows = [
        {"model": "m", "behavior": "b", "seed": seed, "method": "lora", "subspace": name, "axis": axis, "family": "f",
         "block": block, "target": target, "width": 8, "recovery": 1.0 + i * block + seed, "best": 60.0 + block}
        for seed in (0, 1)
        for block in blocks
        for i, (name, axis) in enumerate(NAMES.items())
        for target in ("stream", "written")
    ]  # fmt: skip
    return typed([{each.name: row.get(each.name) for each in SUBSPACE_SCORES.columns} for row in rows], SUBSPACE_SCORES)


def points(axes):
    return sorted((x, y) for line in axes.lines if line.get_marker() in ("o", "^", "s")
                  for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True))  # fmt: skip


def test_effects_are_drawn_against_scores_with_their_rank_correlation():
    figure = effects_figure(scores(), parts())
    assert len(figure.axes) == 2 * 4, "two methods, two matchings"
    axes = figure.axes[0]
    assert points(axes) == [pytest.approx((1.0 + i, 0.1 * i)) for i in range(5)]
    assert axes.get_title(loc="left").startswith("lora, at the whole's coefficient: rank correlation 1.00, p ")
    (band,) = axes.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((-0.05, 0.06))
    assert {0.8, 0.9} <= {line.get_ydata()[0] for line in axes.lines}


def test_what_lies_beyond_the_axis_stands_at_its_edge():
    wild = parts().with_columns(retained=pl.when(pl.col("part") == "churn-8").then(99.0).otherwise(pl.col("retained")))
    assert max(y for _, y in points(effects_figure(scores(), wild).axes[0])) == 2.0


def test_every_seed_has_a_mark_and_the_mean_an_interval():
    figure = stability_figure(scores())
    stream, written = figure.axes
    assert [label.get_text() for label in stream.get_yticklabels()] == list(NAMES)
    seeds = [line for line in stream.lines if line.get_markerfacecolor() == "none"]
    assert [sorted(line.get_xdata()) for line in seeds] == [[1, 2, 3, 4, 5], [2, 3, 4, 5, 6]]
    bars = {tuple(line.get_xdata()) for line in stream.lines if line.get_linewidth() == 1.2}
    assert bars == {(0.5 + i, 3.0 + i) for i in range(5)}
    assert not any(line.get_linewidth() == 1.2 for line in written.lines)


def test_layers_show_the_mean_over_seeds_and_the_best_directions():
    figure = layers_figure(by_block())
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(lines["the best directions"].get_ydata()) == [61.0, 62.0]
    assert list(lines["churn"].get_ydata()) == [1 + 4 + 0.5, 1 + 8 + 0.5]
    assert lines["churn"].get_color() != lines["the best directions"].get_color()


def test_a_study_without_a_sweep_says_so():
    titles = [
        figure.axes[0].get_title(loc="left")
        for figure in (
            effects_figure(scores().clear(), parts().clear()),
            effects_figure(scores(), parts().with_columns(retained=pl.lit(None, pl.Float64))),
            stability_figure(scores().clear()),
            layers_figure(by_block().clear()),
        )
    ]
    assert titles == ["no whole has an effect that its parts could have"] * 2 + [
        "no delta was looked for in subspaces", "no delta was swept"
    ]  # fmt: skip
