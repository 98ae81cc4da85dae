"""README and docs: every command can be run, every overlay is accepted, every snippet of Python does its work."""

import ast
import copy
import importlib
import json
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
import yaml
from import_examples import vector, write_gguf
from snakemake.cli import get_argument_parser
from snakemake.utils import update_config
from steerdose import my_vector
from steerdose.make import estimators
from steerdose.study import estimators as declared
from steerdose.study.load import load_study

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
SETUP = ["Snakefile", "config.yaml", "rules", "workflow_scripts", "report", "profiles", "data", "studies"]
SLURM = "--workflow-profile"  # its plugin is no requirement


def blocks(language):
    """Return the page and the text of every fenced block of a language, indented ones moved to the left."""
    found = []
    for page, text in TEXTS.items():
        for indent, block in re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
            found.append((page, re.sub(rf"^{indent}", "", block, flags=re.MULTILINE)))
    return found


def commands(program):
    """Return the words of every command of a program, as a shell reads them: joined lines, {a,b} as two words."""
    lines = [line for _, block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    found = [words for line in lines if (words := shlex.split(line, comments=True)) and words[0] == program]
    return [[each for word in words for each in expanded(word)] for words in found]


def expanded(word):
    before, brace, rest = word.partition("{")
    inside, _, after = rest.partition("}")
    return [before + each + after for each in inside.split(",")] if brace else [word]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the project in it, and with what the pages take a reader to bring."""
    for name in SETUP:
        (tmp_path / name).symlink_to(ROOT / name)
    for path in ("adapters/honest", "adapters/dishonest"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "evals").mkdir()
    asked = {"question": "(A) x (B) y", "answer_matching_behavior": " (A)"}
    (tmp_path / "evals/power-seeking-inclination.jsonl").write_text(json.dumps(asked))
    dilemma = {"dilemma_idx": [0], "dilemma_situation": ["s"], "action": ["lie"], "honesty_label": [-1]}
    pl.DataFrame(dilemma).write_parquet(tmp_path / "dilemmas.parquet")
    (tmp_path / "mine.yaml").write_text(next(text for page, text in blocks("yaml") if page == "README.md"))
    monkeypatch.chdir(tmp_path)
    write_gguf("honest.gguf", {"direction.1": vector(1, 576)})
    (dose,) = (words for words in commands("make") if words[1] == "dose")
    given = dict(word.split("=") for word in dose[2:])
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    my_vector.write_overlay(my_vector.overlay(given["VECTOR"], given["MODEL"], given["BEHAVIOR"], "", config))
    return tmp_path


@pytest.mark.parametrize(("page", "text"), blocks("yaml"))
def test_overlays_are_accepted(page, text, place):
    config = copy.deepcopy(yaml.safe_load((ROOT / "config.yaml").read_text()))
    update_config(config, yaml.safe_load(text))
    load_study(config)


def test_snakemake_finds_a_way_to_every_target(place):
    """Read each line as snakemake does, and plan all targets that belong to one config in one dry run."""
    parser, targets = get_argument_parser(), {}
    for words in commands("snakemake"):
        if SLURM not in words:
            asked = parser.parse_args(words[1:])
            targets.setdefault(tuple(map(str, asked.configfile or ())), set()).update(asked.targets)
    literal = "snakemake --cores 1 --resources gpu=1 -- results/figs/survival.png"
    assert literal.split() in commands("snakemake") and "results/figs/survival.png" in targets[()]
    for overlay, files in targets.items():
        options = ["--configfile", *overlay] if overlay else []
        call = [sys.executable, "-m", "snakemake", *options, "--cores", "1", "-n", "--quiet", "all", "--", *files]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (call, done.stdout, done.stderr)


def test_make_knows_every_target_and_every_script_is_there(place):
    known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    inline = [tuple(shlex.split(match)) for text in TEXTS.values() for match in re.findall(r"`(make [^`]+)`", text)]
    for words in [*commands("make"), *inline]:
        assert words[1] in known, words
        for overlay in (word.removeprefix("OVERLAY=--configfile ") for word in words[2:] if "OVERLAY" in word):
            assert Path(overlay.strip('"')).is_file(), words
    for words in commands("python"):
        assert (ROOT / words[1]).is_file() if words[1] != "-m" else find_spec(words[2]), words


def test_links_lead_to_files_and_headings():
    for page, text in TEXTS.items():
        for target in re.findall(r"\]\(([^)#\s]*#?[^)\s]*)\)", text):
            name, _, heading = target.partition("#")
            path = (ROOT / page).parent / name if name else ROOT / page
            assert path.exists(), f"{page}: {target}"
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE) if heading else []
            slugs = [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings]
            assert not heading or heading in slugs, f"{page}: {target}"


def test_python_does_what_its_tests_say(monkeypatch):
    """Each snippet names its file: it runs with the names of that module, if it is there, and after those before it."""
    monkeypatch.setattr(declared, "ESTIMATORS", dict(declared.ESTIMATORS))
    monkeypatch.setattr(estimators, "ESTIMATORS", dict(estimators.ESTIMATORS))
    tests = []
    for page, text in blocks("python"):
        path = text.splitlines()[0].removeprefix("# ")
        assert path.endswith(".py"), f"{page}: a snippet begins with the path of its file, found {path}"
        module = (
            ".".join(Path(path).relative_to("workflow_scripts").with_suffix("").parts) if "steerdose" in path else ""
        )
        there = importlib.import_module(module) if module and (ROOT / path).is_file() else None
        names = {**(vars(there) if there else {}), "__name__": module or "snippet"}
        exec(compile(ast.parse(text), f"{page}: {path}", "exec"), names)
        for name, value in names.items():
            if there and name not in vars(there):
                monkeypatch.setattr(there, name, value, raising=False)
        tests += [value for name, value in names.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


def test_estimators_of_the_pages_are_declared_with_the_options_that_they_take():
    text = TEXTS["docs/methods.md"]
    for name, options in re.findall(r"`(\w+)`(?: \((`\w+`(?:, `\w+`)*)\))?", text.partition("`mean_diff`, `pca`")[2]):
        if name in declared.ESTIMATORS and options:
            assert re.findall(r"`(\w+)`", options) == list(declared.ESTIMATORS[name].model_fields), name


def test_the_readme_has_two_screens():
    assert len(TEXTS["README.md"].splitlines()) <= 200
