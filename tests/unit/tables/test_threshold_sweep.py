"""The table of the threshold sweep, as readers see it."""

from steerdose.columns import CELL
from steerdose.tables.threshold_sweep import ORDER, UNSTEERED, sweep_texts
from sweep_examples import fading, rollouts, sweep


def test_readers_see_a_column_a_threshold():
    forks, trajectories = rollouts(fading, ("b", "a"), (-2.0, -1.0, 0.0, 1.0, 2.0))
    texts = sweep_texts(sweep(forks, trajectories)[1])
    assert texts.columns == [*CELL, "method", "sign", "0.5", "0.75 (set)", "0.9"]
    assert texts.select("method", "sign").rows() == [
        ("b", "positive"), ("b", "negative"), ("a", "positive"), ("a", "negative"),
        (UNSTEERED, ""), (ORDER, "positive"), (ORDER, "negative"),
    ]  # fmt: skip
    assert texts["0.5"][0] == "1.74"
    assert texts["0.75 (set)"][4:].to_list() == ["0.00", "", ""], "both methods are tied"


def test_prompts_alone_have_no_rows():
    assert sweep_texts(sweep(*rollouts(fading, ("prompt",), (0.0, 1.0)))[1]).is_empty()
