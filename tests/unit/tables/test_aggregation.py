"""Statistics of KL compared: the published ratios, and who dies at equal mean KL."""

import itertools

import numpy as np
import polars as pl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from reference.aggregation import textbook_auc
from steerdose.dose.kl_statistics import STATISTICS
from steerdose.figures.aggregation import aggregation_figure
from steerdose.files import KEYS, sequences
from steerdose.tables.aggregation import CALIPER, aggregation_table, separation, simulated_students


def study(kl_of, duration_of, alphas=(0.0, 1.0, 2.0), prompts=8, methods=("a", "b"), models=("m",), window=32):
    """Histories and lifetimes; kl_of(generator, dies) gives the KL of a trajectory, duration_of its life."""
    generator = np.random.default_rng(0)
    tokens, lives = [], []
    for model, method, alpha, prompt in itertools.product(models, methods, alphas, range(prompts)):
        dies = alpha > 0 and generator.random() < 0.5
        key = dict(zip(KEYS, (model, "b", 0, method, alpha, alpha, f"p{prompt}"), strict=True))
        kl = kl_of(generator, dies, window) if alpha else np.zeros(window)
        tokens += [{**key, "t": t, "token_id": 0, "kl": float(value)} for t, value in enumerate(kl, start=1)]
        duration = duration_of(generator, dies, window)
        lives.append({**key, "duration": duration, "died": dies, "ended": False})
    return sequences(pl.DataFrame(tokens), "kl"), pl.DataFrame(lives)


def spiky(generator, dies, window):
    """Mean 1 for all; those that die have it in few tokens."""
    kl = generator.uniform(0.2, 0.3, window)
    if dies:
        kl[[0, 1]] += generator.uniform(2, 3, 2)
    return kl / kl.mean() * generator.uniform(0.95, 1.05)


def noisy(generator, dies, window):
    return generator.exponential(size=window)


def at_the_end(generator, dies, window):
    return window


def anywhere(generator, dies, window):
    return int(generator.choice([0, 2, 8, 32])) if dies else int(generator.choice([5, 8, window]))


def value(table, statistic, column):
    return table.filter(statistic=statistic)[column][0]


def test_the_published_ratios_of_the_two_students_come_out():
    students = simulated_students()
    assert students.group_by("student").len().sort("student").rows() == [("broad", 60), ("loop", 60)]
    table = aggregation_table(*study(spiky, at_the_end), 0.95)
    published = {"mean": (0.379, 20.6), "rmse": (1.527, 57.7), "p95": (3.777, 77.0), "max": (8.081, 85.4)}
    for statistic, (loop, ratio) in published.items():
        assert value(table, statistic, "loop") == pytest.approx(loop, rel=0.01)
        assert value(table, statistic, "ratio") == pytest.approx(ratio, rel=0.01)
    assert value(table, "p50", "loop") == 0  # medians see nothing of a loop


def test_a_broad_shift_is_everywhere_and_a_loop_at_four_positions():
    students = simulated_students()
    assert students.filter(student="broad")["kl"].min() > 1e-4
    loop = students.filter(student="loop").filter(pl.col("kl") > 1e-12)
    assert loop["position"].to_list() == [33, 34, 35, 36]
    assert loop["kl"].is_sorted(descending=True)


@pytest.mark.parametrize("models", [("m",), ("m", "n")])
def test_auc_is_the_share_of_pairs_counted_one_by_one(models):
    histories, lives = study(noisy, anywhere, models=models)
    found = separation(histories, lives)
    names = ("model", "method", "alpha", "prompt_id")
    kl = {tuple(row[name] for name in names): row["kl"] for row in histories.iter_rows(named=True)}
    for statistic in STATISTICS:
        auc, pairs = textbook_auc(lives.to_dicts(), kl, statistic, CALIPER)
        assert value(found, statistic, "auc") == pytest.approx(auc)
        assert value(found, statistic, "pairs") == pairs
        assert value(found, statistic, "auc_low") <= auc <= value(found, statistic, "auc_high")
    assert found["share_best"].sum() == pytest.approx(1)


def test_spikes_at_equal_mean_are_seen_by_max_and_not_by_the_mean():
    found = separation(*study(spiky, at_the_end))
    assert value(found, "max", "auc") == value(found, "rmse", "auc") == 1
    assert value(found, "p50", "auc") == 0
    assert value(found, "mean", "auc_low") < 0.5 < value(found, "mean", "auc_high")
    assert value(found, "max", "share_best") > 0.2


def test_kl_that_says_nothing_has_half_in_its_intervals():
    found = separation(*study(noisy, at_the_end, prompts=16))
    assert ((found["auc_low"] < 0.5) & (found["auc_high"] > 0.5)).all()


def test_deaths_before_any_token_are_counted_and_leave_no_estimate():
    histories, lives = study(spiky, lambda generator, dies, window: 0 if dies else window)
    found = separation(histories, lives)
    dead = int(lives["died"].sum())
    assert found.select("auc", "auc_low", "auc_high", "share_best").null_count().row(0) == (7, 7, 7, 7)
    assert found.select("deaths", "deaths_at_0", "matched_deaths", "pairs").row(0) == (dead, dead, 0, 0)
    assert found["note"][0] == (
        "0 deaths on 0 prompts can be compared with survivors of equal mean KL, 10 on 5 are needed: no estimate. "
        f"Of {dead} deaths, {dead} came at fork 0, before any KL."
    )


def test_nobody_dead_is_no_error():
    histories, lives = study(spiky, at_the_end, alphas=(0.0,))
    assert separation(histories, lives)["deaths"].to_list() == [0] * len(STATISTICS)


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
