"""The table of the probes and its figure: deaths and agreement by hand, and what the figure shows."""

import polars as pl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from steerdose.figures.probes import probes_figure
from steerdose.files import write_json, write_table
from steerdose.tables.probes import deaths_by_probe, probes_table

CELL = {"model": "m", "behavior": "b", "seed": 0, "method": "lora", "coefficient": None}


def lives(*deaths):
    """Lifetimes from (duration, damage) or None for a survivor."""
    rows = [
        {**CELL, "alpha": 1.0, "prompt_id": f"p{i}", "duration": death[0] if death else 8, "died": death is not None,
         "ended": False, "damage": death[1] if death else None}
        for i, death in enumerate(deaths)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"damage": pl.String})


def test_deaths_and_agreement_by_hand():
    found = deaths_by_probe(
        {
            "a": lives((0, "readout"), (4, "text"), (4, "text"), None, None),
            "b": lives((0, "readout"), (8, "readout"), None, (0, None), None),
            "c": lives(None, None, None, None, None),
        }
    )
    a, b, c = found.to_dicts()
    assert (a["trajectories"], a["died"], a["readout"], a["text"]) == (5, 3, 1, 2)
    assert (b["died"], b["readout"], b["text"]) == (3, 2, 0)
    assert a["same_fork_b"] == b["same_fork_a"] == pytest.approx(1 / 4)
    assert (a["same_fork_a"], a["same_fork_c"], c["same_fork_b"]) == (1, 0, 0)
    assert (c["died"], c["same_fork_c"]) == (0, None)


def audit(median, decides=False, rolled_out=False):
    return {"median_pmass": median, "passes": median > 0.5, "rolled_out": rolled_out, "decides": decides}


@pytest.fixture
def table(tmp_path):
    """Two models, three probes of which two are read; the second probe has a lower threshold."""
    models, files = ["one", "two"], {name: [] for name in ("audits", "thresholds", "forks", "trajectories")}
    for model in models:
        paths = {name: str(tmp_path / f"{model}.{name}") for name in files}
        write_json({"a": audit(0.2), "b": audit(0.9, False, True), "c": audit(0.8, True, True)}, paths["audits"])
        write_json({"b": {"threshold": 0.3}, "c": {"threshold": 0.6}}, paths["thresholds"])
        key = {**CELL, "model": model, "prompt_id": "p"}
        pmass = {"b": (0.9, 0.4), "c": (0.9, 0.4)} if model == "one" else {"b": (0.2, 0.9), "c": (0.1, 0.9)}
        rows = [
            {**key, "alpha": alpha, "probe": probe, "reading": reading, "t": t, "pmass": value if alpha else 0.1}
            for alpha in (0.0, 1.0)
            for probe, values in pmass.items()
            for reading in ("steered", "unsteered")
            for t, value in zip((0, 4), values, strict=True)
        ]
        write_table(pl.DataFrame(rows), paths["forks"])
        write_table(pl.DataFrame([{**key, "alpha": a, "n_tokens": 8, "ended": False} for a in (0.0, 1.0)]),
                    paths["trajectories"])  # fmt: skip
        for name, path in paths.items():
            files[name].append(path)
    return probes_table(models, **files, probes=["c", "b"], window=8)


def test_the_table_has_every_probe_of_every_model_with_its_deaths(table):
    assert table.select("model", "probe").rows() == [(m, p) for m in ("one", "two") for p in ("c", "b", "a")]
    assert table["threshold"].to_list() == [0.6, 0.3, None] * 2
    assert table["trajectories"].to_list() == [1, 1, None] * 2
    assert table["died"].to_list() == [1, 0, None, 1, 1, None]
    assert table["text"].to_list() == [1, 0, None, 1, 1, None]
    assert table["same_fork_c"].to_list() == [1, 0, None, 1, 1, None]
    assert table["same_fork_b"].to_list() == [0, None, None, 1, 1, None]


def audit_forks(table):
    rows = [
        {"model": model, "probe": probe, "prompt_id": f"p{i}", "t": t, "pmass": 0.9 - 0.05 * i}
        for model, probe in table.select("model", "probe").iter_rows()
        for i in range(3)
        for t in (0, 1, 3, 8)
    ]
    return pl.DataFrame(rows)


def test_the_figure_has_a_panel_a_probe_with_its_role_and_lines(table):
    figure = probes_figure(audit_forks(table), table, 0.5)
    FigureCanvasAgg(figure).draw()
    titles = [axes.get_title(loc="left").split("\n") for axes in figure.axes]
    assert titles[:3] == [["one", "c", "decides death, passes"], ["one", "b", "read in rollouts, passes"],
                          ["one", "a", "audited only, fails"]]  # fmt: skip
    for axes, threshold in zip(figure.axes, table["threshold"], strict=True):
        *questions, median = [line for line in axes.lines if len(line.get_xdata()) == 4]
        assert [line.get_ydata()[0] for line in questions] == pytest.approx([0.9, 0.85, 0.8])
        assert list(median.get_ydata()) == pytest.approx([0.85] * 4)
        levels = [line.get_ydata()[0] for line in axes.lines if len(line.get_xdata()) == 2]
        assert levels == [0.5] + [threshold] * (threshold is not None)


def test_one_probe_of_one_model_has_no_heading(table):
    figure = probes_figure(audit_forks(table), table.head(1), 0.5)
    FigureCanvasAgg(figure).draw()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["c\ndecides death, passes"]
