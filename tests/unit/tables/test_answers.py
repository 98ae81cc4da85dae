"""What is answered, and what of it is right."""

import polars as pl
import pytest
from steerdose.tables.answers import answers_table

KEY = {"model": "m", "behavior": "b", "seed": 0, "method": "lora", "reading": "steered", "sample": 0}


def test_right_is_what_lies_on_the_side_of_the_truth():
    readings = [("a", 0, 0.9, True), ("a", 32, 0.4, True), ("b", 0, 0.2, False), ("b", 32, 0.1, True)]
    rows = [
        {
            **KEY,
            "alpha": alpha,
            "probe": probe,
            "prompt_id": prompt,
            "t": t,
            "p_first": p,
            "pmass": p,
            "is_answer": said,
        }
        for alpha in (0.0, 1.0)
        for probe in ("yes_no", "recall")
        for prompt, t, p, said in readings
    ]
    truths = {"yes_no": {"a": True, "b": False}, "recall": {"a": False, "b": False}}
    found = answers_table(pl.DataFrame(rows), truths, 0.95)
    assert found.select("alpha", "probe").rows() == [(0, "yes_no"), (0, "recall"), (1, "yes_no"), (1, "recall")]
    assert found["right"].to_list() == [0.75] * 4
    assert found["n"].to_list() == [2] * 4
    assert found["answered"].to_list() == [0.75] * 4
    assert found["pmass"][0] == pytest.approx(0.3)
    both = pl.DataFrame(rows).with_columns(p_first=pl.lit(0.9))
    assert answers_table(both, truths, 0.95)["right"].to_list() == [0.5, 0.0] * 2
