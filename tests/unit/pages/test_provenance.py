"""The page of provenance: what is summed up, that it is escaped, and its head on the report's start page."""

import json
from pathlib import Path

from docutils.core import publish_parts
from steerdose.pages.provenance import fields, summary, write_provenance

TEMPLATE = Path(__file__).parents[3] / "workflow_scripts/steerdose/pages/templates/provenance.html"


def entry(rule="plot_survival", commit="abc", start=0, end=5, **more):
    return {
        "rule": rule,
        "wildcards": {},
        "steerdose": "0.1.0",
        "commit": commit,
        "changes": False,
        "versions": {"python": "3.11", "torch": None},
        "models": {},
        "settings": {},
        "host": "here",
        "start": f"2026-01-01T00:00:{start:02}+00:00",
        "end": f"2026-01-01T00:00:{end:02}+00:00",
    } | more


def test_states_rules_and_models_are_counted():
    found = summary(
        [
            entry(start=10, end=12, host="there", models={"m": "1f"}),
            entry("kaplan_meier", commit="old", end=3, models={"m": "1f"}, wildcards={"method": "lora"}),
            entry("kaplan_meier", start=4, end=9, models={"n": "2e"}, wildcards={"method": "mean"}),
        ]
    )
    assert [(state["commit"], state["jobs"]) for state in found["states"]] == [("old", 1), ("abc", 2)]
    assert found["models"] == [{"name": "m", "sha256": "1f"}, {"name": "n", "sha256": "2e"}]
    assert [(rule["rule"], rule["jobs"], rule["seconds"]) for rule in found["rules"]] == [
        ("kaplan_meier", 2, 8),
        ("plot_survival", 1, 2),
    ]
    assert found["states"][1]["hosts"] == ["here", "there"]
    assert (found["states"][1]["start"][17:19], found["states"][1]["end"][17:19]) == ("04", "12")


def write(root, folder, *entries):
    (root / folder).mkdir(parents=True, exist_ok=True)
    text = json.dumps({f"{i}": each for i, each in enumerate(entries)})
    (root / folder / "provenance.json").write_text(text)


def written(root):
    """The page and its head."""
    page, start = root / "results/provenance.html", root / "results/provenance.rst"
    (root / "results/tables").mkdir(exist_ok=True)
    cost = {name: str(root / f"results/tables/cost.{name}") for name in ("csv", "html")}
    write_provenance(template=str(TEMPLATE), caption="Read share first.", page=str(page), start=str(start), **cost)
    assert (root / "results/tables/cost.csv").read_text().startswith("rule,model,behavior,seed,method,jobs")
    assert "Read share first." in (root / "results/tables/cost.html").read_text()
    return page.read_text(), start.read_text()


def test_a_job_with_files_in_two_folders_counts_once(tmp_path):
    write(tmp_path, "results/figs", entry())
    write(tmp_path, "results/m/b", entry(), entry(end=9), entry("kaplan_meier", wildcards={"method": "x"}))
    page, start = written(tmp_path)
    assert "2 jobs, the last at 2026-01-01T00:00:09 UTC" in start
    assert "not made by one state" not in page
    write(tmp_path, "results/figs", entry(commit="other", end=20))
    assert "not made by one state" in written(tmp_path)[0]


def test_everything_is_escaped(tmp_path):
    evil = "<script>alert(1)</script>"
    write(tmp_path, "results/figs", entry(rule=evil, host=evil, commit=evil, models={evil: evil}))
    page, _ = written(tmp_path)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 5


def test_without_git_or_a_package_it_says_so(tmp_path):
    write(tmp_path, "results/figs", entry(commit=None, changes=None))
    page, start = written(tmp_path)
    assert "not in git" in page and "not in git" in start
    assert "torch not installed" in page


def test_the_start_page_can_include_its_head(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "results/figs", entry(changes=True, models={"smollm2": "1f"}))
    _, start = written(tmp_path)
    assert start == fields(summary([entry(changes=True, models={"smollm2": "1f"})]))
    html = publish_parts(".. include:: results/provenance.rst", writer_name="html")["html_body"]
    assert "system-message" not in html
    for text in ("steerdose 0.1.0", ">abc<", "with changes", "model smollm2", ">1f<"):
        assert text in html
