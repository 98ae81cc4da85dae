"""The table of death events: counts by hand."""

import polars as pl
from cohort_examples import key
from steerdose.survival.death_events import EVENTS
from steerdose.tables.death_events import event_counts


def test_events_are_counted_by_method_and_dose_and_undefined_ones_are_null():
    rows = [
        key(prompt, method=method)
        | {"event": name, "t": 4 if (name, prompt) in {("pmass", 0), ("loop", 0), ("loop", 1)} else None}
        for method in ("lora", "simple")
        for prompt in range(3)
        for name in EVENTS
        if (method, name) != ("simple", "kl")
    ]
    table = event_counts(pl.DataFrame(rows, schema_overrides={"t": pl.Int64}))
    assert table.select("method", "n", "pmass", "loop", "rep_4", "kl").rows() == [
        ("lora", 3, 1, 2, 0, 0),
        ("simple", 3, 1, 2, 0, None),
    ]
