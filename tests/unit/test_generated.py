"""What docs and report say of tables is what the declarations say."""

from pathlib import Path

from steerdose.declarations.index import PUBLISHED, TABLES
from steerdose.docs import main, pages, stale

ROOT = Path(__file__).parents[2]


def test_the_generated_files_are_fresh():
    assert stale(ROOT) == [], "run python -m steerdose.docs"


def test_check_tells_what_is_stale_and_writing_mends_it(tmp_path, monkeypatch, capsys):
    for folder in ("docs", "report"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0 and main(["--check"]) == 0
    assert capsys.readouterr().out == ""
    text = Path("report/survival_table.rst").read_text()
    Path("report/survival_table.rst").write_text(text.replace("First compare", "Never compare"))
    Path("report/texts_table.rst").unlink()
    assert main(["--check"]) == 1
    told = capsys.readouterr().out
    assert "survival_table.rst" in told and "Never compare" in told and "texts_table.rst: missing" in told
    assert "docs/tables.md" not in told and told.endswith("run python -m steerdose.docs\n")


def test_every_column_of_every_table_is_in_the_docs():
    text = pages()["docs/tables.md"]
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
