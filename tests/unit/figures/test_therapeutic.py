"""The pictures of benefit: what stands where, and what they show of nothing."""

import numpy as np
import polars as pl
import pytest
from steerdose.figures.frontier import costs, front, frontier_figure
from steerdose.figures.therapeutic import therapeutic_figure
from steerdose.study.published import PlotFrontier

CELL = {"model": "m", "behavior": "b", "seed": 0}
DOSES = (0.0, 1.0, 2.0, 3.0)
DEAD = (0.0, 0.1, 0.4, 0.9)
EFFECT = (0.0, 0.2, 0.4, 0.1)


def curves(method="one", sign="positive"):
    place = {**CELL, "method": method, "sign": sign, "benefit": "mood.valence"}
    fitted = (0.0, 0.2, 0.4, None)
    return pl.DataFrame(
        [
            {**place, "dose": d, "effect": e, "effect_low": e - 0.1, "effect_high": e + 0.1, "fitted": f}
            for d, e, f in zip(DOSES, EFFECT, fitted, strict=True)
        ]
    )


def shares(method="one", sign=1.0):
    return pl.DataFrame(
        [
            {**CELL, "method": method, "alpha": sign * d, "dose": d, "dead": s, "dead_low": s / 2, "dead_high": s + 0.1}
            for d, s in zip(DOSES, DEAD, strict=True)
        ]
    )


def told(method="one", sign="positive", **changes):
    row = {**CELL, "method": method, "sign": sign, "verdict": "recommended", "index": 2.2, "alpha": 2.0}
    return pl.DataFrame([row | {"ed50": 1.0, "ld50": 2.2, "minimal_dose": 1.0, "safe_dose": 2.0} | changes])


def lines(figure):
    return [line for axes in figure.axes for line in axes.lines]


def test_effect_survival_ed50_ld50_and_window_stand_at_their_doses():
    figure = therapeutic_figure(curves(), told(), shares())
    left, right = figure.axes
    assert left.get_title("left").endswith("one, positive\nindex 2.2")
    points = [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines(figure) if len(line.get_xdata()) == 1
    ]
    assert sorted(points) == [(1.0, pytest.approx(0.2)), (2.2, 0.5)]
    alive = next(line for line in right.lines if len(line.get_xdata()) == 4)
    assert alive.get_ydata() == pytest.approx(1 - np.array(DEAD))
    (window,) = left.patches
    assert (window.get_x(), window.get_x() + window.get_width()) == (1.0, 2.0)
    assert any(list(line.get_xdata()) == [2.0, 2.0] for line in left.lines), "the recommended dose"


def test_a_window_of_one_dose_is_seen_and_none_is_not_drawn():
    one = therapeutic_figure(curves(), told(safe_dose=1.0), shares())
    assert one.axes[0].patches[0].get_width() > 0.05
    nothing = {"index": None, "ed50": None, "alpha": None, "minimal_dose": None, "verdict": "no effect shown"}
    none = therapeutic_figure(curves(), told(**nothing), shares())
    assert not none.axes[0].patches
    assert none.axes[0].get_title("left").endswith("no effect shown")


def test_a_negative_sign_has_a_panel_of_its_own_on_the_same_scale():
    both = pl.concat([curves(), curves(sign="negative")])
    figure = therapeutic_figure(
        both, pl.concat([told(), told(sign="negative")]), pl.concat([shares(), shares(sign=-1.0)])
    )
    first, second = (axes for axes in figure.axes if axes.get_title("left"))
    assert first.get_ylim() == second.get_ylim()


def test_a_study_without_a_task_of_its_behavior_says_so():
    assert (
        therapeutic_figure(curves().clear(), told().clear(), shares()).axes[0].get_title("left").startswith("no task")
    )


def effects():
    rows = [
        {**CELL, "method": m, "task": task, "measure": measure, "alpha": a, "effect": e}
        for m, scale in (("one", 1.0), ("two", 0.5))
        for a in (1.0, 2.0, -1.0)
        for task, measure, e in (
            ("mood", "valence", scale * a * 0.2),
            ("text", "nll", abs(a)),
            ("know", "shift", -abs(a)),
        )
    ]
    return pl.DataFrame(rows)


SETTINGS = PlotFrontier(
    members={}, most=12, effects={"b": ("mood", "valence")}, damages=(("text", "nll"), ("know", "shift"))
)


def test_costs_are_more_where_it_is_worse_and_effects_toward_the_sign():
    dead = pl.concat([shares("one"), shares("two"), shares("one", -1.0).filter(alpha=-1.0)])
    found = costs(effects(), dead, SETTINGS)
    one = found.filter(method="one", alpha=-1.0)
    assert one["effect"].unique().to_list() == [pytest.approx(0.2)]
    assert one["cost"].to_list() == [0.1, 1.0, 1.0]
    assert len(frontier_figure(found, SETTINGS).axes) == 3


def test_the_front_has_what_no_other_beats():
    points = pl.DataFrame({"effect": [0.1, 0.3, 0.2, -0.5, 0.3], "cost": [0.0, 1.0, 2.0, -1.0, 0.5]})
    assert front(points).rows() == [(0.1, 0.0), (0.3, 0.5)]
    assert (
        frontier_figure(costs(effects().clear(), shares(), SETTINGS), SETTINGS)
        .axes[0]
        .get_title("left")
        .startswith("no task")
    )
