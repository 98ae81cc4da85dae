"""The table of deaths: counts by hand."""

import polars as pl
from cohort_examples import key
from steerdose.survival.histories import deaths_table


def test_the_table_counts_by_hand():
    rows = [
        (0, True, "at once", "text", None),
        (8, True, "neither", "readout", 2.0),
        (16, True, "spike", None, 4.0),
        (64, False, None, None, 1.0),
    ]
    deaths = pl.DataFrame(
        [
            key(i)
            | {"endpoint": "text", "duration": d, "died": died, "ended": False}
            | {"history": h, "damage": damage, "kl": kl}
            for i, (d, died, h, damage, kl) in enumerate(rows)
        ]
    )
    row = deaths_table(deaths).row(0, named=True)
    assert (row["n"], row["died"]) == (4, 3)
    assert (row["readout"], row["text"], row["not_told"]) == (1, 1, 1)
    assert [row[name] for name in ("at_once", "spike", "sustained", "neither", "unclear")] == [1, 1, 0, 1, 0]
    assert (row["median_t"], row["kl_at_death"], row["kl_alive"]) == (8.0, 3.0, 1.0)
