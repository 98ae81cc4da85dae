"""Which members of an entry have a place in a figure."""

import polars as pl
import pytest
from figure_examples import ALONE, MANY, MANY_PANELS, MEMBERS
from hypothesis import given
from hypothesis import strategies as st
from steerdose.figures.choice import EVERY, FEWEST, evenly, extremes, note, places, spread
from steerdose.study.published import Panels


def panels(sizes, most):
    """An entry a size; one of size 1 is a method of that name."""
    entries = {f"e{i}": size for i, size in enumerate(sizes)}
    members = {name: tuple(f"{name}.{j}" for j in range(size)) for name, size in entries.items()}
    alone = {name: (name,) for name, size in entries.items() if size == 1}
    return Panels(members=members | alone, most=most)


@pytest.mark.parametrize(
    ("sizes", "most", "expected"),
    [
        ([60], 12, {"e0": 12}),
        ([12], 12, {}),
        ([1, 1, 1, 60, 60], 12, {"e3": 4, "e4": 5}),
        ([1, 3, 60], 12, {"e2": 8}),
        ([1] * 20 + [60], 12, {"e20": FEWEST}),
        ([1] * 20, 12, {}),
    ],
)
def test_members_share_what_methods_that_stand_alone_leave(sizes, most, expected):
    assert places(panels(sizes, most)) == expected


@given(st.lists(st.integers(1, 70), min_size=1, max_size=6), st.integers(1, 20))
def test_never_more_than_asked_for_but_for_what_is_always_shown(sizes, most):
    given = panels(sizes, most)
    shown = {name for names in given.members.values() for name in names} - spread(given)
    many = [names for names in given.members.values() if len(names) > 1]
    assert len(shown) <= max(most, len(sizes) - len(many) + FEWEST * len(many))
    assert all(names[0] in shown for names in given.members.values())
    assert all(names[-1] in shown for names in given.members.values())
    if len(shown) < sum(sizes):
        assert len(shown) >= min(most, sum(sizes))


def test_members_are_evenly_spaced_in_their_own_order():
    frame = pl.DataFrame({"method": ["simple", *MANY]})
    kept = evenly(frame, MANY_PANELS)["method"].to_list()
    numbers = {entry: [int(name.split(".")[1]) for name in kept if name.startswith(f"{entry}.")] for entry in MEMBERS}
    assert numbers == {"lora_layers": [0, 20, 39, 59], "oft_layers": [0, 15, 30, 44, 59]}
    assert kept[:4] == ["simple", *ALONE]
    assert evenly(frame, EVERY).equals(frame)


def test_extremes_are_chosen_by_rank_in_each_cell():
    keys = {"behavior": "b", "seed": 0}
    rows = [
        {"model": model, **keys, "method": method, "value": (step * i) % 61}
        for model, step in (("one", 1), ("two", 7))
        for i, method in enumerate(["alone", *[f"e.{j}" for j in range(60)]])
    ]
    table = pl.DataFrame(rows)
    given = Panels(members={"alone": ("alone",), "e": tuple(f"e.{j}" for j in range(60))}, most=4)
    (kept,) = extremes((table,), table, lambda cell: cell.sort("value")["method"].to_list(), given)
    assert kept.filter(model="one")["value"].to_list() == [0, 1, 2, 60]
    assert sorted(kept.filter(model="two")["value"]) == [0, 1, 2, 60]
    assert kept.filter(model="one")["method"].to_list() != kept.filter(model="two")["method"].to_list()


def test_a_note_names_what_is_shown_and_where_the_rest_is():
    assert note(MANY_PANELS, "survival") == (
        "Shown: 4 of 60 lora_layers, 5 of 60 oft_layers (evenly spaced); all in results/tables/survival.csv"
    )
    assert note(panels([1, 3], 12), "survival") == ""
