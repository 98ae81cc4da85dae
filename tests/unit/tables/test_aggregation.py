"""The table of the statistics of KL: the published ratios."""

import pytest
from aggregation_examples import at_the_end, spiky, study, value
from steerdose.declarations.methods import AGGREGATION
from steerdose.survival.aggregation import CALIPER, simulated_students
from steerdose.tables.aggregation import aggregation_table


def test_the_published_ratios_of_the_two_students_come_out():
    students = simulated_students()
    assert students.group_by("student").len().sort("student").rows() == [("broad", 60), ("loop", 60)]
    table = aggregation_table(*study(spiky, at_the_end), 0.95)
    published = {"mean": (0.379, 20.6), "rmse": (1.527, 57.7), "p95": (3.777, 77.0), "max": (8.081, 85.4)}
    for statistic, (loop, ratio) in published.items():
        assert value(table, statistic, "loop") == pytest.approx(loop, rel=0.01)
        assert value(table, statistic, "ratio") == pytest.approx(ratio, rel=0.01)
    assert value(table, "p50", "loop") == 0  # medians see nothing of a loop


def test_the_caption_names_the_factor_within_which_means_are_equal():
    assert f"within a factor of {CALIPER:g};" in AGGREGATION.reading
