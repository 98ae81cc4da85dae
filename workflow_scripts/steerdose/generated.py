"""Files that are made from others: `python -m steerdose.generated` writes them, with `--check` tells which are stale.

Of the declared tables: docs/tables.md and the captions of their pages. Of the rules: the table of docs/layout.md, and
the entry script of every rule. Of the typed study: the schema that editors read. Of the registered hypotheses:
docs/hypotheses.md. Run it where the project lies, with
workflow_scripts on the path (`make generated`).
"""

import ast
import difflib
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from steerdose.declarations.base import Column, Table
from steerdose.declarations.index import PUBLISHED, TABLES
from steerdose.errors import SteerdoseError
from steerdose.study.paths import CELL, MODEL
from steerdose.study.schema import schema_text
from steerdose.study.subspaces import LEGACY, Switches

COMMAND = "run `make generated`"
WIDTH = 120
TABLES_OPENING = """\
# Tables

Every table that a study writes, made of the declarations in `workflow_scripts/steerdose/declarations` by
`make generated`; edit these. A dose is a multiple of the calibrated coefficient, KL is in nats, an empty
field is null.
"""
HYPOTHESES_OPENING = """\
# Hypotheses

Every subspace of the residual stream that `make subspaces` looks for a delta in, made of the functions with
`@hypothesis` in `workflow_scripts/steerdose/subspaces` by `make generated`; edit these. None of them reads a trained
delta. axis: whether its directions are what blocks write, what they read, or of both kinds. bases: one for the whole
model, or one a block. made of: what it is given. The definitions are the corrected ones; `subspaces.mode: legacy` has
all as they were published, and `subspaces.switches` single ones.
"""
LAYOUT, SCHEMA = "docs/layout.md", "workflow_scripts/schemas/config.schema.json"
LAYOUT_START, LAYOUT_END = "<!-- from rules/, by `make generated` -->\n", "<!-- end -->\n"
SCRIPT = '''\
"""{sentence}"""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from {module} import {rule}

    job.run({rule})
'''


def texts(root: Path) -> dict[str, str]:
    """Return the text of every generated file of the project at `root`, by its path in it."""
    rules = find_rules(root)
    captions = {f"report/{table.name}_table.rst": _caption(table) for table in PUBLISHED}
    scripts = {rule.script: rule.entry() for rule in rules}
    pages = {"docs/tables.md": _tables_page(), LAYOUT: _layout_page(root, rules), SCHEMA: schema_text()}
    pages["docs/hypotheses.md"] = _hypotheses_page()
    return {**pages, **captions, **scripts}


def _tables_page() -> str:
    ends = {table.name for table in PUBLISHED}
    passed = [table for table in TABLES.values() if table.name not in ends]
    parts = [TABLES_OPENING]
    for heading, tables in (("What a study ends in", PUBLISHED), ("What passes between rules", passed)):
        parts += [f"## {heading}\n", *map(_section, tables)]
    return "\n".join(parts)


def _hypotheses_page() -> str:
    import steerdose.subspaces.build  # noqa: F401 (registers them; imports torch, which nothing else here needs)
    from steerdose.subspaces.registry import HYPOTHESES

    lines = [HYPOTHESES_OPENING, "| name | family | axis | bases | made of | definition |", "|---|---|---|---|---|---|"]
    for each in HYPOTHESES.values():
        source = f" ({each.source})" if each.source else ""
        cells = (f"`{each.name}`", each.family, each.axis, each.scope, each.given, each.formula + source)
        lines.append(_cells(cells))
    lines += ["", "## Switches", "", "| switch | by default | in legacy | meaning |", "|---|---|---|---|"]
    for name, field in Switches.model_fields.items():
        values = (str(getattr(switches, name)).lower() for switches in (Switches(), LEGACY))
        lines.append(_cells((f"`{name}`", *values, field.description or "")))
    return "\n".join([*lines, ""])


def _section(table: Table) -> str:
    files = table.path if table.path.endswith(".parquet") else f"{table.path}.csv"
    lines = [f"### {table.name}\n", f"`{files}`, by rule `{table.rule}`. A row is {table.row}.\n"]
    if table.reading:
        lines.append(textwrap.fill(table.reading, WIDTH) + "\n")
    lines += ["| column | type | unit | meaning |", "|---|---|---|---|", *map(_row, table.columns), ""]
    if table.shown:
        lines += ["In html:\n", "| column | unit | meaning |", "|---|---|---|"]
        lines += [_row(each, with_type=False) for each in table.shown if each not in table.columns] + [""]
    return "\n".join(lines)


def _row(column: Column, with_type: bool = True) -> str:
    types = [column.kind] if with_type else []
    return _cells((f"`{column.name}`", *types, column.unit, column.meaning))


def _cells(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _caption(table: Table) -> str:
    """Return a caption of the report, in reStructuredText."""
    text = f"A row is {table.row}. {table.reading}"
    for sign in "\\*|`":
        text = text.replace(sign, f"\\{sign}")
    return textwrap.fill(text, WIDTH, break_on_hyphens=False) + "\n"


@dataclass(frozen=True)
class Rule:
    """A rule with the patterns of its outputs, and the library function of its name: its module and docstring."""

    name: str
    outputs: tuple[str, ...]
    module: str
    docstring: str

    @property
    def script(self) -> str:
        return f"workflow_scripts/{self.name}.py"

    def entry(self) -> str:
        """Return the text of the entry script."""
        first = " ".join(self.docstring.split("\n\n")[0].split())
        sentence = re.match(r".*?\.(?= |$)", first)
        if not sentence or len(sentence[0]) > WIDTH - 6:
            raise SteerdoseError(
                f"{self.module}.{self.name}: its docstring is to begin with a sentence of at most {WIDTH - 6} "
                f"characters, with a full stop, found '{first}'"
            )
        return SCRIPT.format(sentence=sentence[0], module=self.module, rule=self.name)


def find_rules(root: Path) -> list[Rule]:
    """Return every rule that has a script, in the order in which the Snakefile includes them."""
    library = root / "workflow_scripts/steerdose"
    sources = {path: path.read_text(encoding="utf-8") for path in sorted(library.rglob("*.py"))}
    found: list[Rule] = []
    for name in re.findall(r'^include: "(.+)"', (root / "Snakefile").read_text(encoding="utf-8"), re.MULTILINE):
        source = (root / name).read_text(encoding="utf-8")
        constants = {"CELL": CELL, "MODEL": MODEL, **dict(_constants(source, {"CELL": CELL, "MODEL": MODEL}))}
        for rule, body in _rules(source):
            module, docstring = _function(rule, name, sources, library.parent)
            outputs = tuple(_path(each.value, constants) for each in _arguments(body, "output").keywords)
            found.append(Rule(rule, outputs, module, docstring))
    return found


def _rules(source: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every rule of a .smk file; a rule may be indented, under a condition."""
    for match in re.finditer(r"^( *)rule (\w+):\n((?:\1    .*\n|\n)+)", source, re.MULTILINE):
        yield match[2], textwrap.dedent(match[3])


def _arguments(body: str, directive: str) -> ast.Call:
    """Return what a rule says behind a directive, which is written as the arguments of a call are."""
    match = re.search(rf"^{directive}:\n((?:    .*\n)+)", body, re.MULTILINE)
    call = ast.parse(f"f(\n{match[1] if match else ''})", mode="eval").body
    assert isinstance(call, ast.Call)
    return call


def _constants(source: str, known: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the names and values of a .smk file's own constant texts."""
    for name, value in re.findall(r'^([A-Z]+) = (f?".*")$', source, re.MULTILINE):
        yield name, _path(ast.parse(value, mode="eval").body, known)


def _path(node: ast.expr, constants: dict[str, str]) -> str:
    """Return the pattern of an output: a text, a constant, an f-string of both, or one of them inside a flag."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name) if name in constants:
            return constants[name]
        case ast.JoinedStr(values=values):
            return "".join(_path(value, constants) for value in values)
        case ast.FormattedValue(value=value):
            return _path(value, constants)
        case ast.Call(func=ast.Name(id="directory" | "report" | "update" | "temp" | "protected"), args=[first, *_]):
            return _path(first, constants)
    raise SteerdoseError(f"an output is to be a text, or a constant of its .smk file, found {ast.unparse(node)}")


def _function(rule: str, file: str, sources: dict[Path, str], above: Path) -> tuple[str, str]:
    """Return the dotted module and the docstring of the one library function that is named like a rule."""
    found = [path for path, text in sources.items() if re.search(rf"^def {rule}\(", text, re.MULTILINE)]
    if len(found) != 1:
        places = [str(path.relative_to(above)) for path in found]
        raise SteerdoseError(f"{file}: rule {rule} wants one function `def {rule}(` in the library, found {places}")
    functions = [node for node in ast.parse(sources[found[0]]).body if isinstance(node, ast.FunctionDef)]
    docstring = next(ast.get_docstring(node) for node in functions if node.name == rule)
    return ".".join(found[0].relative_to(above).with_suffix("").parts), docstring or ""


def _layout_page(root: Path, rules: list[Rule]) -> str:
    """Return docs/layout.md with the table of outputs between its two marks."""
    path = root / LAYOUT
    before, start, rest = path.read_text(encoding="utf-8").partition(LAYOUT_START)
    _, end, after = rest.partition(LAYOUT_END)
    if not start or not end:
        raise SteerdoseError(f"{LAYOUT}: lines {LAYOUT_START.strip()} and {LAYOUT_END.strip()} are wanted")
    lines = ["| output | rule | script | module |", "|---|---|---|---|"]
    for rule in rules:
        module = rule.module.removeprefix("steerdose.").replace(".", "/")
        lines += [f"| `{path}` | `{rule.name}` | `{rule.script}` | `{module}.py` |" for path in rule.outputs]
    return before + start + "\n".join(["", *lines, "", ""]) + end + after


def stale(root: Path) -> list[str]:
    """Return what is to be said of each file that is not as it would be written: missing, or which lines differ."""
    found, wanted = [], texts(root)
    for name, text in wanted.items():
        path = root / name
        if not path.is_file():
            found.append(f"{name}: missing")
        elif (old := path.read_text(encoding="utf-8")) != text:
            changes = difflib.unified_diff(old.splitlines(), text.splitlines(), "there", "wanted", lineterm="", n=0)
            found.append(f"{name}:\n" + "\n".join(f"  {line}" for line in list(changes)[2:]))
    there = {f"workflow_scripts/{path.name}" for path in (root / "workflow_scripts").glob("*.py")}
    return found + [f"{name}: there is no such rule; delete it" for name in sorted(there - set(wanted))]


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` print what is stale and return 1 if anything is."""
    if arguments == ["--check"]:
        found = stale(Path())
        sys.stdout.writelines(f"{each}\n" for each in [*found, *[COMMAND][: len(found)]])
        return int(bool(found))
    for name, text in texts(Path()).items():
        path = Path(name)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:  # an unchanged script keeps its time
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
