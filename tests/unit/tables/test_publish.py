"""Tables as files: html escapes and reads well, csv reads back."""

import polars as pl
from cohort_examples import GRID, cohort
from steerdose.survival.kaplan_meier import kaplan_meier
from steerdose.tables.publish import survival_texts, write_csv, write_html


def test_html_escapes_every_string(tmp_path):
    hostile = '<script>alert("x")</script>&'
    changes = dict.fromkeys(("model", "behavior", "method"), hostile)
    _, summary = kaplan_meier(cohort([(8, True), (128, False)], **changes), GRID)
    write_html(survival_texts(summary), tmp_path / "table.html", title=hostile, caption="c")
    page = (tmp_path / "table.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;") == 4


def test_html_shows_medians_and_what_was_not_reached(tmp_path):
    observations = [(8, True)] * 6 + [(64, True)] * 6
    both = pl.concat([cohort(observations), cohort([(128, False)] * 12, alpha=0.0)])
    summary = kaplan_meier(both, GRID)[1]
    write_html(survival_texts(summary), tmp_path / "table.html", title="Survival", caption="c")
    page = (tmp_path / "table.html").read_text(encoding="utf-8")
    assert "<td>2</td><td>12</td><td>12</td><td>0</td><td>0.000</td><td>0.000</td><td>8 [8, 64]</td>" in page
    assert "<td>1.000</td><td>1.000</td><td>not reached [not reached, not reached]</td>" in page


def test_csv_reads_back(tmp_path):
    _, summary = kaplan_meier(cohort([(8, True), (64, True), (128, False)]), GRID)
    write_csv(summary, tmp_path / "table.csv")
    assert pl.read_csv(tmp_path / "table.csv", schema=summary.schema).equals(summary)
