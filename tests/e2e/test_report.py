"""The report of a finished study, opened in a browser: what a reader sees, and that the page needs no network."""

import json
import re
from html import unescape

import browser
import pytest
from steerdose.declarations.passed import TRAJECTORIES
from steerdose.files import read_table
from steerdose.pages.render import VISIBLE

pytestmark = pytest.mark.slow

CATEGORIES = {
    "Ablations",
    "Subspaces",
    "Benefit",
    "Start",
    "Survival",
    "Dose",
    "Instrument",
    "Deaths",
    "Text",
    "Tables",
}
READY = """
const pause = () => new Promise((done) => setTimeout(done, 300));
while (!document.querySelector("#app .prose")) await pause();
"""
SEE_RESULTS = f"""{READY}
const seen = {{}};
for (const [path, result] of Object.entries(results)) {{
  app.showResultInfo(path);
  await pause();
  seen[path] = {{caption: document.querySelector(".prose-invert")?.innerText ?? ""}};
  if (result.mime_type.startsWith("image/")) {{
    app.setView({{content: "img", contentPath: result.data_uri, resultPath: path}});
    await pause();
    const image = document.querySelector(".grow img");
    if (!image.complete) await new Promise((done) => {{ image.onload = image.onerror = done }});
    seen[path].width = image.naturalWidth;
    seen[path].shown = image.getBoundingClientRect().width;
  }} else {{
    app.setView({{content: "html", contentPath: result.data_uri, resultPath: path}});
    await pause();
    seen[path].shown = document.querySelector("iframe").getBoundingClientRect().width;
  }}
}}
return seen;
"""


@pytest.fixture(scope="module")
def report(finished_study):
    """The report of the finished study; nothing of the study changes with it."""
    finished_study.snakemake("--report", "results/report.html", "--report-stylesheet", "report/style.css", "all")
    return finished_study.root / "results/report.html"


@pytest.fixture(scope="module")
def results(report):
    """What the report holds, by path."""
    page = report.read_text(encoding="utf-8")
    (found,) = re.findall(r"^\s*var results = (\{.*\});$", page, re.MULTILINE)
    return json.loads(found)


def test_every_picture_and_page_is_in_the_report_with_a_caption(finished_study, results):
    made = [
        path for folder in ("figs", "tables", "tiny") for path in (finished_study.root / "results" / folder).rglob("*")
    ]
    made.append(finished_study.root / "results/provenance.html")
    shown = {str(path.relative_to(finished_study.root)) for path in made if path.suffix in (".png", ".html")}
    assert set(results) == shown
    assert [path for path, result in results.items() if not result["caption"]] == []


def test_categories_are_those_of_the_description(report):
    page = report.read_text(encoding="utf-8")
    (found,) = re.findall(r"^\s*var categories = (\{.*\});$", page, re.MULTILINE)
    assert set(json.loads(found)) <= CATEGORIES


def test_a_reader_sees_pictures_and_captions_and_the_page_asks_for_nothing(report, results):
    visit = browser.visit(report, SEE_RESULTS)
    assert visit.requests == []
    assert set(visit.found) == set(results)
    for path, seen in visit.found.items():
        assert len(seen["caption"]) > 100, path
        assert seen["shown"] > 100, path
        assert not path.endswith(".png") or seen["width"] > 300, path


def test_the_description_comes_from_the_config_and_its_links_lead_to_categories(report):
    script = f"""{READY}
    const link = [...document.querySelectorAll(".prose a")].find((each) => each.innerText === "Tables");
    const text = document.querySelector(".prose").innerText;
    const top = document.querySelector(".prose h1").getBoundingClientRect().top;
    link.click();
    await pause();
    const errors = document.querySelectorAll(".system-message, .problematic").length;
    return {{text, top, errors, menu: document.body.innerText}};
    """
    seen = browser.visit(report, script).found
    for word in ("mean_diff", "alpha 0, 1, 3", "4 questions", "p95 of the KL at 0.2 nats", "censoring"):
        assert word in seen["text"]
    assert seen["errors"] == 0
    assert seen["top"] >= 0, "what stands above the screen cannot be scrolled to"
    assert "geometry" in seen["menu"]


def test_it_opens_with_the_doses_and_their_picture_above_the_graph_of_jobs(report):
    script = f"""{READY}
    const image = document.querySelector(".prose img");
    if (!image.complete) await new Promise((done) => {{ image.onload = image.onerror = done }});
    while (!document.querySelector("#rulegraph svg, #rulegraph canvas")) await pause();
    const place = (what) => document.querySelector(what).getBoundingClientRect();
    const [table, graph] = [place(".prose table"), place("#rulegraph")];
    const rows = document.querySelector(".prose table").rows.length;
    return {{table: table.top, rows, image: place(".prose img").top, natural: image.naturalWidth, graph: graph.top,
             order: place("#in-which-order-to-read").top}};
    """
    seen = browser.visit(report, script).found
    assert 0 <= seen["table"] < seen["image"] < seen["order"] < seen["graph"]
    assert seen["natural"] > 300
    assert seen["rows"] == 1 + 2, "a method each"


def test_the_texts_to_read_are_those_of_the_rollouts(finished_study):
    cell = finished_study.root / "results/tiny/honesty/seed0"
    page = (cell / "reading.html").read_text(encoding="utf-8")
    sections = page.split("<h2 ")[1:]
    assert len(sections) == 2
    for method, section in zip(("lora", "mean_diff"), sections, strict=True):
        assert f">{method}</h2>" in section
        shown = re.findall(r'<p class="text" dir="auto">(.*?)</p>', section, re.DOTALL)
        plain = [unescape(re.sub(r"<mark.*?</mark>|<[^>]*>", "", text)) for text in shown]
        texts = read_table(cell / f"rollouts/{method}.trajectories.parquet", TRAJECTORIES)["text"].to_list()
        assert len(plain) >= 6
        assert set(plain) <= {text.translate(VISIBLE) for text in texts}
