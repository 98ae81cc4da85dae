"""The figure of the probes."""

import polars as pl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from probe_examples import probed
from steerdose.figures.probes import probes_figure


def audit_forks(table):
    rows = [
        {"model": model, "probe": probe, "prompt_id": f"p{i}", "t": t, "pmass": 0.9 - 0.05 * i}
        for model, probe in table.select("model", "probe").iter_rows()
        for i in range(3)
        for t in (0, 1, 3, 8)
    ]
    return pl.DataFrame(rows)


def test_the_figure_has_a_panel_a_probe_with_its_role_and_lines():
    table = probed()
    figure = probes_figure(audit_forks(table), table, 0.5)
    FigureCanvasAgg(figure).draw()
    titles = [axes.get_title(loc="left").split("\n") for axes in figure.axes]
    assert titles[:3] == [["one", "c", "rolled out, first, passes"], ["one", "b", "read in rollouts, passes"],
                          ["one", "a", "audited only, fails"]]  # fmt: skip
    for axes, threshold in zip(figure.axes, table["threshold"], strict=True):
        *questions, median = [line for line in axes.lines if len(line.get_xdata()) == 4]
        assert [line.get_ydata()[0] for line in questions] == pytest.approx([0.9, 0.85, 0.8])
        assert list(median.get_ydata()) == pytest.approx([0.85] * 4)
        levels = [line.get_ydata()[0] for line in axes.lines if len(line.get_xdata()) == 2]
        assert levels == [0.5] + [threshold] * (threshold is not None)


def test_one_probe_of_one_model_has_no_heading():
    table = probed()
    figure = probes_figure(audit_forks(table), table.head(1), 0.5)
    FigureCanvasAgg(figure).draw()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["c\nrolled out, first, passes"]
