"""The table of texts: medians by dose."""

import polars as pl
import pytest
from cohort_examples import key
from steerdose.outcomes.text import MEASURES
from steerdose.tables.texts import texts_table


def test_texts_are_tabulated_by_method_and_dose():
    rows = [(64, True, 1.0), (32, False, 3.0), (64, False, 8.0)]
    texts = pl.DataFrame(
        [
            key(i) | {"n_tokens": n, "ended": ended} | dict.fromkeys(MEASURES, value)
            for i, (n, ended, value) in enumerate(rows)
        ]
    )
    table = texts_table(pl.concat([texts, texts.head(1).with_columns(alpha=0.0)]))
    assert table.select("alpha", "n", "tokens").rows() == [(2.0, 3, 64), (0.0, 1, 64)]
    assert table.select(*MEASURES).row(0) == (3.0,) * len(MEASURES)
    assert table["ended"].to_list() == pytest.approx([1 / 3, 1])
