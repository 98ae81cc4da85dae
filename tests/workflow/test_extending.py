"""What docs/extending.md promises: one of each kind is added to a copy, in at most three files, and comes to be."""

import os
import re
import shutil
import subprocess
import sys

import polars as pl
import pytest
from conftest import ROOT, make_workspace
from steerdose.declarations.passed import SUMMARIES
from steerdose.files import write_table

pytestmark = pytest.mark.slow

LIBRARY = "workflow_scripts/steerdose"
CELL = "results/tiny/honesty/seed0"
SHOWN = re.findall(r"^```(?:\w+)?\n(.*?)^```", (ROOT / "docs/extending.md").read_text(), re.MULTILINE | re.DOTALL)
TASK = '''"""Does the model say that claims are true?"""

from collections.abc import Iterator, Sequence
from typing import Any

from steerdose.engine.probe import answer_sets
from steerdose.engine.score import Item, Score, render
from steerdose.steering.intervention import Intervention
from steerdose.outcomes.tasks.rows import Found
from steerdose.study.items import Row, fill
from steerdose.study.tasks import AssentTask


def items(tokenizer: Any, rows: Sequence[Row], task: AssentTask, interventions: Sequence[Intervention]) -> list[Item]:
    """Return an item a claim."""
    answers = answer_sets(tokenizer, "", ("true", "false"), "tasks.assent")
    return [Item(row["id"], render(tokenizer, fill(task.prompt, row), interventions), answers) for row in rows]


def found(rows: Sequence[Row], task: AssentTask, scores: Sequence[Score | None]) -> Iterator[Found]:
    """Yield the log-odds of every claim."""
    for row, score in zip(rows, scores, strict=True):
        value = score and score.answers[0] - score.answers[1]
        yield Found(row["id"], row["id"], "", None, "assent", value)
'''
ASSENT = '''class AssentTask(Items):
    """How much the model assents."""

    kind: Literal["assent"]
    prompt: Text


'''
FIGURE = '''"""A picture of the half-lives."""

import polars as pl
from matplotlib.figure import Figure

from steerdose.figures.style import drawing, save


def plot_half_lives(*, table: str, png: str, svg: str) -> None:
    """Draw `half_lives_figure` of the table."""
    save(half_lives_figure(pl.read_csv(table)), png, svg)


@drawing()
def half_lives_figure(table: pl.DataFrame) -> Figure:
    """Draw half-lives against doses."""
    figure = Figure()
    figure.subplots().plot(table["alpha"], table["median_t"])
    return figure
'''
FIGURE_RULE = """

rule plot_half_lives:
    input:
        table="results/tables/half_lives.csv",
    output:
        png=report(
            "results/figs/half_lives.png",
            caption="../report/half_lives.rst",
            category="Survival",
            labels={"figure": "half-lives"},
        ),
        svg="results/figs/half_lives.svg",
    log:
        "results/logs/plot_half_lives.log",
    conda:
        ENV
    params:
        code=code("plot_half_lives"),
    message:
        "Draw half-lives"
    script:
        "../workflow_scripts/plot_half_lives.py"
"""


def shown(start: str) -> str:
    """Return the example of the docs that starts so."""
    (text,) = [text for text in SHOWN if text.startswith(start)]
    return text


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy with one of each, and the files that each took, by kind."""
    workspace = make_workspace(tmp_path_factory.mktemp("extended"), "tiny.yaml")
    shutil.copytree(ROOT / "docs", workspace.root / "docs", ignore=shutil.ignore_patterns("*.png", "families"))
    touched = {}

    def add(kind, path, text):
        touched.setdefault(kind, set()).add(path)
        file = workspace.root / path
        file.write_text((file.read_text() if file.exists() else "") + text)

    def replace(kind, path, old, new):
        touched.setdefault(kind, set()).add(path)
        text = workspace.read(path)
        assert old in text
        (workspace.root / path).write_text(text.replace(old, new, 1))

    early = "  early: {kind: activation, estimator: mean_diff, depths: [0.2]}\n"
    replace("method", "config.yaml", "  random_direction:\n", f"{early}  random_direction:\n")
    for path in ("study/estimators.py", "make/estimators.py"):
        add("estimator", f"{LIBRARY}/{path}", "\n\n" + shown(f"# {LIBRARY}/{path}"))
    add("task", f"{LIBRARY}/outcomes/tasks/assent.py", TASK)
    replace("task", f"{LIBRARY}/outcomes/scores.py", "import choice,", "import assent, choice,")
    replace("task", f"{LIBRARY}/outcomes/scores.py", '= {"choice"', '= {"assent": assent, "choice"')
    replace("task", f"{LIBRARY}/study/tasks.py", "class WritingTask", ASSENT + "class WritingTask")
    replace("task", f"{LIBRARY}/study/tasks.py", "ReadTask = ChoiceTask", "ReadTask = AssentTask | ChoiceTask")
    replace("task", f"{LIBRARY}/study/tasks.py", '    "options": (', '    "assent": ("assent",),\n    "options": (')
    entry = '  assent: {kind: assent, data: data/claims.jsonl, prompt: "True? {claim}", batch_size: 8}\n'
    replace("task", "config.yaml", "tasks:\n", f"tasks:\n{entry}")
    add("table", f"{LIBRARY}/declarations/survival.py", shown(f"# {LIBRARY}/declarations/survival.py"))
    add("table", f"{LIBRARY}/tables/half_lives.py", shown(f"# {LIBRARY}/tables/half_lives.py"))
    add("table", "rules/tables.smk", "\n\n" + shown("rule tabulate_half_lives:"))
    add("figure", f"{LIBRARY}/figures/half_lives.py", FIGURE)
    add("figure", "rules/figures.smk", FIGURE_RULE)
    add("figure", "report/half_lives.rst", "When half can no longer answer.\n")
    python(workspace, "-m", "steerdose.generated")
    workspace.configure(
        study={"methods": ["lora", "mean_diff", "early", "median"]},
        methods={"median": {"kind": "activation", "estimator": "median_diff", "options": {}, "depths": [0.6]}},
    )
    return workspace, touched


def python(workspace, *arguments):
    environment = {**os.environ, "PYTHONPATH": "workflow_scripts"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=workspace.root, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_takes_more_than_three_files(extended):
    touched = dict(extended[1])
    assert set(touched) == {"method", "estimator", "task", "table", "figure"}
    assert len(touched.pop("task")) == 4  # a kind of its own; another task of a kind is an entry of the config
    assert max(map(len, touched.values())) <= 3


def test_everything_is_planned(extended):
    workspace, _ = extended
    stale = workspace.stale("all", f"{CELL}/scores/early.assent.parquet", f"{CELL}/steering/median.safetensors")
    assert (stale["tabulate_half_lives"], stale["plot_half_lives"], stale["fit_repe"]) == (1, 1, 3)
    assert stale["score_task"] == 2 * 4 + 1


def test_the_table_and_the_figure_come_to_be(extended):
    workspace, _ = extended
    make = [
        "from steerdose.declarations.index import TABLES",
        "from steerdose.figures.half_lives import plot_half_lives",
        "from steerdose.tables.half_lives import tabulate_half_lives",
        "caption = TABLES['half_lives'].caption",
        "tabulate_half_lives(summaries=['s.parquet'], caption=caption, csv='half.csv', html='half.html')",
        "plot_half_lives(table='half.csv', png='half.png', svg='half.svg')",
    ]
    write_table(summary(), workspace.root / "s.parquet", SUMMARIES)
    python(workspace, "-c", "\n".join(make))
    assert pl.read_csv(workspace.root / "half.csv")["median_t"].to_list() == [5]
    assert "the first fork at which half have died" in workspace.read("half.html")
    assert (workspace.root / "half.png").stat().st_size > 1000


def test_the_estimator_and_the_task_compute(extended):
    workspace, _ = extended
    planted = shown("# tests/unit/make/test_estimators.py")
    task = [
        "from steerdose.engine.score import Score",
        "from steerdose.outcomes.scores import TASKS",
        "from types import SimpleNamespace",
        "(found,) = TASKS['assent'].found([{'id': 'q'}], None, [SimpleNamespace(answers=(-1.0, -3.0))])",
        "assert (found.item, found.metric, found.value) == ('q', 'assent', 2.0)",
    ]
    python(workspace, "-c", "\n".join([planted, "test_median_diff_finds_a_planted_direction()", *task]))


def summary():
    values = {"text": "m", "integer": 5, "number": 1.0}
    return pl.DataFrame({column.name: [values[column.kind]] for column in SUMMARIES.columns})
