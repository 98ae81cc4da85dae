"""What a report opens with, as docutils reads it."""

import base64
import re

import polars as pl
import pytest
from docutils.core import publish_parts
from steerdose.declarations.benefit import RECOMMENDED
from steerdose.files import write_table
from steerdose.pages.start import MOST, write_start

PICTURE = b"\x89PNG" + bytes(range(256)) * 20  # longer than a line may be


def opened(tmp_path, rows):
    absent = {column.name: None for column in RECOMMENDED.columns if not column.is_pattern}
    frame = pl.DataFrame([absent | row for row in rows], infer_schema_length=None)
    write_table(frame, tmp_path / "dose.parquet", RECOMMENDED)
    (tmp_path / "picture.png").write_bytes(PICTURE)
    write_start(
        doses=str(tmp_path / "dose.parquet"), figure=str(tmp_path / "picture.png"), start=str(tmp_path / "start.rst")
    )
    source = f"Report\n======\n\nBenefit\n-------\n\n.. include:: {tmp_path / 'start.rst'}\n"
    return publish_parts(source, writer="html5", settings_overrides={"halt_level": 2})["html_body"]


def row(method="mean_diff", verdict="recommended", seed=0):
    return {
        **{"model": "m", "behavior": "b", "seed": seed, "method": method, "sign": "positive", "verdict": verdict},
        **{"coefficient": 67.1, "effect": 0.48, "effect_low": 0.39, "effect_high": 0.55},
        **{"dead": 0.08, "dead_high": 0.27, "index": 7.7},
    }


def test_it_shows_the_doses_and_the_picture_itself(tmp_path):
    nothing = dict.fromkeys(("coefficient", "effect", "dead", "index"))
    html = opened(tmp_path, [row("lora", "no effect shown") | nothing, row()])
    cells = re.findall(r"<td><p>(.*?)</p></td>|<td>()</td>", html.replace("\n", ""))
    texts = [re.sub("<.*?>", "", first) for first, _ in cells]
    assert texts[:6] == ["mean_diff, positive", "recommended", "67.1", "0.48 [0.39, 0.55]", "8% (to 27%)", "7.7"]
    assert texts[6:] == ["lora, positive", "no effect shown", "", "", "", ""], "what is recommended comes first"
    assert base64.b64decode(re.search(r'src="data:image/png;base64,([^"]+)"', html)[1]) == PICTURE
    assert 'href="#benefit"' in html


@pytest.mark.parametrize("seeds", [[0], [0, 1]])
def test_rows_of_several_cells_name_theirs(tmp_path, seeds):
    html = opened(tmp_path, [row(seed=seed) for seed in seeds])
    assert ("seed 0" in html) == (len(seeds) > 1)


def test_of_many_rows_it_shows_some_and_says_so(tmp_path):
    html = opened(tmp_path, [row(f"m{i}") for i in range(MOST + 3)])
    assert html.count("recommended") == MOST
    assert "3 more rows are in the table of doses" in html
