"""Generated files are as they would be written, and say what they are made of."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from steerdose.declarations.index import PUBLISHED, TABLES
from steerdose.errors import SteerdoseError
from steerdose.generated import find_rules, main, stale, texts

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The parts of the project that generated files are made of, and no generated file."""
    for part in ("rules", "workflow_scripts/steerdose"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("docs", "report", "workflow_scripts/schemas"):
        (tmp_path / folder).mkdir()
    for file in ("Snakefile", "docs/layout.md"):
        shutil.copy(ROOT / file, tmp_path / file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_generated_files_are_fresh():
    assert stale(ROOT) == [], "run `make generated`"


def test_check_tells_what_is_stale_and_writing_mends_it(project, capsys):
    assert main([]) == 0 and main(["--check"]) == 0
    assert capsys.readouterr().out == ""
    text = Path("report/survival_table.rst").read_text()
    Path("report/survival_table.rst").write_text(text.replace("First compare", "Never compare"))
    Path("report/texts_table.rst").unlink()
    Path("workflow_scripts/left_over.py").touch()
    assert main(["--check"]) == 1
    told = capsys.readouterr().out
    assert "survival_table.rst" in told and "Never compare" in told and "texts_table.rst: missing" in told
    assert "workflow_scripts/left_over.py: there is no such rule; delete it" in told
    assert "docs/tables.md" not in told and told.endswith("run `make generated`\n")


def test_what_is_fresh_keeps_its_time(project):
    main([])
    before = {path: path.stat().st_mtime_ns for path in project.rglob("*") if path.is_file()}
    main([])
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_new_rule_needs_its_module_and_gets_its_script_and_its_row(project):
    rule = 'rule count_dead:\n    output:\n        table=f"{CELL}/dead/{{method}}.parquet",\n    log:\n        "x",\n'
    with Path("rules/survival.smk").open("a") as file:
        file.write(
            f"\n\nif True:\n\n    {rule}".replace("\n        ", "\n            ").replace("\n    o", "\n        o")
        )
    with pytest.raises(SteerdoseError, match=r"rules/survival.smk: rule count_dead wants one function .* found \[\]"):
        texts(project)
    module = 'def count_dead(*, table: str) -> None:\n    """Write how many died,\n    of each method. And more."""\n'
    Path("workflow_scripts/steerdose/survival/dead.py").write_text(module)
    main([])
    script = Path("workflow_scripts/count_dead.py").read_text()
    assert script.startswith('"""Write how many died, of each method."""\n')
    assert "    from steerdose.survival.dead import count_dead\n\n    job.run(count_dead)\n" in script
    row = (
        "| `results/{model}/{behavior}/seed{seed}/dead/{method}.parquet` | `count_dead` | "
        "`workflow_scripts/count_dead.py` | `survival/dead.py` |"
    )
    assert row in Path("docs/layout.md").read_text()


def test_a_function_that_does_not_say_what_it_does_is_refused(project):
    path = Path("workflow_scripts/steerdose/survival/survive.py")
    path.write_text(path.read_text().replace('"""Write the lifetimes of', '"""' + "Write at length " * 9 + "of"))
    with pytest.raises(SteerdoseError, match=r"kaplan_meier: its docstring is to begin with a sentence of at most 114"):
        texts(project)


def test_rules_are_those_that_snakemake_lists():
    call = [sys.executable, "-m", "snakemake", "--list-rules", "--quiet", "all"]
    listed = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    found = {rule.name: rule.outputs for rule in find_rules(ROOT)}
    assert sorted(found) == sorted(set(listed) - {"all", "speed"})
    assert found["resolve_model"] == ("results/models/{model}",)
    assert found["plot_training"] == ("results/figs/training.png", "results/figs/training.svg")
    assert found["export_peft"] == ("results/export/{model}.{behavior}.seed{seed}.{method}.alpha{alpha}/peft",)


def test_every_column_of_every_table_is_in_the_docs():
    text = texts(ROOT)["docs/tables.md"]
    for table in TABLES.values():
        section = text.split(f"### {table.name}\n")[1].split("\n### ")[0]
        for column in table.columns:
            assert f"| `{column.name}` | {column.kind} |" in section
            assert column.meaning.replace("|", "\\|") in section


def test_what_readers_see_says_how_to_read_it():
    assert not [table.name for table in PUBLISHED if len(table.reading) < 80 or not table.title]


def test_names_of_tables_and_of_their_columns_are_unique():
    for table in TABLES.values():
        for each in (table.columns, table.shown):
            names = [column.name for column in each]
            assert len(names) == len(set(names)), table.name
