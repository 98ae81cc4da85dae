"""The table of survival, as readers see it."""

import polars as pl
from cohort_examples import GRID, cohort
from steerdose.survival.kaplan_meier import estimate_survival
from steerdose.tables.survival import survival_texts


def test_medians_are_shown_with_intervals_and_words_for_what_was_not_reached():
    observations = [(8, True)] * 6 + [(64, True)] * 6
    both = pl.concat([cohort(observations), cohort([(128, False)] * 12, alpha=0.0)])
    shown = survival_texts(estimate_survival(both, GRID)[1]).select(pl.nth(range(4, 11)))
    assert shown.rows() == [
        (0.0, 12, 0, 12, "1.000", "1.000", "not reached [not reached, not reached]"),
        (2.0, 12, 12, 0, "0.000", "0.000", "8 [8, 64]"),
    ]
