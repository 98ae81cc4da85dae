"""The table of the probes: deaths and agreement by hand, a row a probe."""

import polars as pl
import pytest
from probe_examples import CELL, probed
from steerdose.tables.probes import deaths_by_probe


def lives(*deaths):
    """Lifetimes from (duration, damage) or None for a survivor."""
    rows = [
        {**CELL, "alpha": 1.0, "prompt_id": f"p{i}", "sample": 0, "duration": death[0] if death else 8,
         "died": death is not None, "ended": False, "damage": death[1] if death else None}
        for i, death in enumerate(deaths)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"damage": pl.String})


def test_deaths_and_agreement_by_hand():
    found = deaths_by_probe(
        {
            "a": lives((0, "readout"), (4, "text"), (4, "text"), None, None),
            "b": lives((0, "readout"), (8, "readout"), None, (0, None), None),
            "c": lives(None, None, None, None, None),
        }
    )
    a, b, c = found.to_dicts()
    assert (a["trajectories"], a["died"], a["readout"], a["text"]) == (5, 3, 1, 2)
    assert (b["died"], b["readout"], b["text"]) == (3, 2, 0)
    assert a["same_fork_b"] == b["same_fork_a"] == pytest.approx(1 / 4)
    assert (a["same_fork_a"], a["same_fork_c"], c["same_fork_b"]) == (1, 0, 0)
    assert (c["died"], c["same_fork_c"]) == (0, None)


def test_the_table_has_every_probe_of_every_model_with_its_deaths():
    table = probed()
    assert table.select("model", "probe").rows() == [(m, p) for m in ("one", "two") for p in ("c", "b", "a")]
    assert table["threshold"].to_list() == [0.6, 0.3, None] * 2
    assert table["trajectories"].to_list() == [1, 1, None] * 2
    assert table["died"].to_list() == [1, 0, None, 1, 1, None]
    assert table["text"].to_list() == [1, 0, None, 1, 1, None]
    assert table["same_fork_c"].to_list() == [1, 0, None, 1, 1, None]
    assert table["same_fork_b"].to_list() == [0, None, None, 1, 1, None]
    assert table.select("passes", "rolled_out", "decides").rows() == [
        (True, True, True), (True, True, False), (False, False, False),
    ] * 2  # fmt: skip
    assert "likely" not in table.columns
