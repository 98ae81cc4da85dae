"""The table of survival, as readers see it."""

import polars as pl
from cohort_examples import GRID, cohort
from steerdose.survival.kaplan_meier import estimate_survival
from steerdose.tables.survival import survival_texts


def test_medians_are_shown_with_intervals_and_words_for_what_was_not_reached():
    observations = [(8, True)] * 6 + [(64, True)] * 6
    both = pl.concat([cohort(observations), cohort([(128, False)] * 12, alpha=0.0)])
    summary = estimate_survival(both, GRID)[1]
    summary = summary.with_columns(endpoint=pl.lit("text"), ended=pl.lit(0), recovered=pl.lit(1))
    shown = survival_texts(summary).select(pl.nth(range(4, 14)))
    assert shown.rows() == [
        (0.0, "text", 12, 0, 0, 12, 1, "0.000 [0.000, 0.265]", "1.000", "1.000"),
        (2.0, "text", 12, 12, 0, 0, 1, "1.000 [0.735, 1.000]", "0.000", "0.000"),
    ]
    medians = survival_texts(summary)["median t"].to_list()
    assert medians == ["not reached [not reached, not reached]", "8 [8, 64]"]
