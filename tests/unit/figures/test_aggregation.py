"""The figure of the statistics of KL."""

import pytest
from aggregation_examples import at_the_end, spiky, study
from matplotlib.backends.backend_agg import FigureCanvasAgg
from steerdose.dose.kl_statistics import STATISTICS
from steerdose.figures.aggregation import aggregation_figure
from steerdose.survival.aggregation import simulated_students
from steerdose.tables.aggregation import aggregation_table


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("duration", [at_the_end, lambda generator, dies, window: 0 if dies else window])
def test_the_figure_shows_the_auc_or_says_why_there_is_none(duration):
    table = aggregation_table(*study(spiky, duration), 0.95)
    figure = aggregation_figure(simulated_students(), table)
    FigureCanvasAgg(figure).draw()
    traces, ratios, lives = figure.axes
    assert [len(line.get_ydata()) for line in traces.lines] == [60, 60]
    assert [bar.get_width() for bar in ratios.patches] == table["ratio"].to_list()
    assert [label.get_text() for label in ratios.get_yticklabels()] == list(STATISTICS)
    texts = " ".join(text.get_text().replace("\n", " ") for text in lives.texts)
    assert ("no estimate" in texts) == (table["auc"].null_count() > 0)
