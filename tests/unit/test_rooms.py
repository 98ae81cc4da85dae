"""The house: which room may import from which, and how large a module, a function and a script may be."""

import ast
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "workflow_scripts/steerdose"
SHARED = ("errors", "seeds", "columns", "declarations", "files")
ROOMS = (
    "flow", "study", "model", "steering", "cuts", "make", "subspaces", "exchange", "engine", "dose", "outcomes",
    "survival", "design", "benefit", "ablation", "tables", "figures", "pages", "console", "generated", "my_vector",
)  # in the order in which data passes  # fmt: skip
OF_FLOW = {"progress", "provenance", "records"}  # what others than the rules' scripts may use of flow
MODULES = sorted(LIBRARY.rglob("*.py"))
ENTRIES = sorted(LIBRARY.parent.glob("*.py"))
LONGEST_MODULE, LONGEST_FUNCTION = 300, 50  # lines


def name_of(path):
    return ".".join(path.relative_to(LIBRARY).with_suffix("").parts)


def imports(path):
    """Yield the dotted names, from the library's root, that a module imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            if node.module == "steerdose" or node.module.startswith("steerdose."):
                inner = node.module.partition(".")[2]
                yield from (f"{inner}.{alias.name}".lstrip(".") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (a.name.partition(".")[2] for a in node.names if a.name.split(".")[0] == "steerdose")


def rank(name):
    """Return the place of a dotted name's room in the order; the shared modules come first."""
    room = name.split(".")[0]
    return -1 if room in SHARED else ROOMS.index(room)


def functions(path):
    """Yield every function with its count of lines, from its name to its end."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node, node.end_lineno - node.lineno + 1


def test_every_room_and_shared_module_is_in_the_order():
    there = {path.stem if path.is_file() else path.name for path in LIBRARY.iterdir()} - {"__init__", "__pycache__"}
    assert there == {*SHARED, *ROOMS}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_only_go_up_the_order(path):
    own = rank(name_of(path)) if path.name != "__init__.py" else None
    for imported in imports(path):
        assert own is not None, "an __init__ imports nothing"
        assert rank(imported) <= own, f"{name_of(path)} imports {imported}, which comes after it"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_of_flow_others_see_no_jobs(path):
    if path.parent.name != "flow":
        assert {name.split(".")[1] for name in imports(path) if name.startswith("flow.")} <= OF_FLOW


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_is_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_function_is_long_without_a_reason(path):
    """The reason stands in the docstring, in a paragraph that begins with 'Long:'."""
    for node, lines in functions(path):
        reason = any(line.strip().startswith("Long: ") for line in (ast.get_docstring(node) or "").splitlines())
        assert lines <= LONGEST_FUNCTION or reason, f"{node.name} has {lines} lines"
        assert lines > LONGEST_FUNCTION or not reason, f"{node.name} gives a reason that it does not need"


@pytest.mark.parametrize("path", [path for path in MODULES if path.name == "__init__.py"], ids=name_of)
def test_a_package_is_described_by_its_docstring_alone(path):
    body = ast.parse(path.read_text(encoding="utf-8")).body
    assert len(body) == 1
    assert isinstance(body[0].value.value, str)


def test_scripts_are_short():
    assert len(ENTRIES) > 40
    assert [path.name for path in ENTRIES if len(path.read_text(encoding="utf-8").splitlines()) > 25] == []


def test_the_walk_sees_imports_of_every_form(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import steerdose.make.fit\nfrom steerdose.study import config\nimport json\n"
        "def f():\n    from steerdose.errors import SteerdoseError\n    from steerdose import seeds\n"
    )
    assert sorted(imports(path)) == ["errors.SteerdoseError", "make.fit", "seeds", "study.config"]
    assert [rank(name) for name in ("errors", "flow.jobs", "pages.reading")] == [-1, 0, 17]
