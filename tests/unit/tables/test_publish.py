"""Tables as html: every string is escaped, header and names stay in sight, groups of rows are parted."""

from dataclasses import replace

import polars as pl
import pytest
from browser import visit
from steerdose.declarations.base import Table, columns
from steerdose.errors import SteerdoseError
from steerdose.tables.publish import write_html

TABLE = Table(
    "scores", rule="tabulate_scores", path="results/tables/scores", title="Scores", row="a method and alpha",
    columns=columns("""
    model | text | | m
    method | text | | n
    alpha | number | dose | a
    value_{x} | number | | v
    """),
)  # fmt: skip
FRAME = pl.DataFrame(
    {"model": "m", "method": ["a", "a", "b"], "alpha": [1.0, 2.0, 1.0], "value_x": [0.123456, None, 2.0]}
)


def page(tmp_path, frame=FRAME, table=TABLE, caption="Read <this>.\n\nalpha (dose): <a>: b", n_names=2):
    write_html(frame, tmp_path / "table.html", table, caption, n_names)
    return (tmp_path / "table.html").read_text(encoding="utf-8")


def test_every_string_is_escaped(tmp_path):
    hostile = '<script>alert("x")</script>&'
    text = page(tmp_path, FRAME.with_columns(model=pl.lit(hostile)), caption=f"{hostile}\n\n{hostile}: {hostile}")
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;") == 3 + 3


def test_numbers_have_four_digits_nulls_are_empty_and_columns_are_explained(tmp_path):
    text = page(tmp_path)
    assert "<td>m</td><td>a</td><td>1</td><td>0.1235</td></tr>" in text
    assert "<td>m</td><td>a</td><td>2</td><td></td></tr>" in text
    assert "<th>value x</th>" in text
    assert "<p>Read &lt;this&gt;.</p>" in text and "<dt>alpha (dose)</dt><dd>&lt;a&gt;: b</dd>" in text


def test_a_line_parts_the_methods(tmp_path):
    rows = page(tmp_path).split("<tbody>")[1].split("</tr>")
    assert ['class="first"' in row for row in rows[:3]] == [False, False, True]


def test_undeclared_columns_are_refused(tmp_path):
    with pytest.raises(SteerdoseError, match="table.html: column 'score' is not declared for the table scores"):
        page(tmp_path, FRAME.rename({"value_x": "score"}))
    assert not (tmp_path / "table.html").exists()


def test_header_and_names_stay_in_sight_with_sixty_members(tmp_path):
    """Scrolled down and to the right, header and names lie where they lay, side by side and over the rest."""
    members = [f"lora_layers.{i}" for i in range(60)]
    table = replace(TABLE, columns=TABLE.columns[:3] + columns("value_{x} | number | | v"))
    wide = {f"value_{i}_of_a_wide_table": [float(i)] * 60 for i in range(30)}
    page(tmp_path, pl.DataFrame({"model": "smollm2", "method": members, "alpha": 1.0, **wide}), table)
    seen = visit(
        tmp_path / "table.html",
        """
        const place = (query) => { const {left, top, right} = document.querySelector(query).getBoundingClientRect();
                                   return [left, top, right] };
        const seen = () => [place("th:nth-child(2)"), place("tbody tr:nth-child(40) td:nth-child(2)"),
                            place("th:nth-child(1)"), place("th:nth-child(5)")];
        const before = seen();
        document.querySelector(".scroll").scrollTo(900, 400);
        const after = seen(), [left, top] = after[0];
        return {before, after, above: document.elementFromPoint(left + 5, top + 5).textContent};
        """,
    ).found
    before, after = seen["before"], seen["after"]
    assert before[0] == after[0], "the header stays"
    assert after[1][0] == before[1][0] and after[1][1] < before[1][1], "a name scrolls down, and not sideways"
    assert after[0][0] == after[2][2], "names stand side by side"
    assert after[3][0] < before[3][0], "the rest scrolls"
    assert seen["above"] == "method"
