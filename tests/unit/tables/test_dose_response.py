"""The table of doses, as readers see it."""

import polars as pl
from dose_examples import cohort, respond
from steerdose.tables.dose_response import dose_texts


def test_readers_see_what_was_not_reached():
    lives = [cohort(dead, method=f"m{i}") for i, dead in enumerate([[0, 0, 3, 9, 12], [0] * 5, [12] * 5])]
    texts = dose_texts(respond(pl.concat(lives))[1])
    assert texts["LD50"].to_list() == ["1.41", "> 4", "< 0.25"]
    assert texts["interval"].to_list()[1:] == ["[4, open]", "[open, 0.25]"]
    assert texts["safe dose"].to_list() == ["0.5", "4", "none"]


def test_a_study_without_a_dose_has_no_rows():
    assert dose_texts(respond(cohort([], alphas=()))[1]).is_empty()
