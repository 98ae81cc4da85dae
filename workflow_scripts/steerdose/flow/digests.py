"""Digests of source code, so that editing a library module reruns the stages that compute with it and no others."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).parents[1]
# Shows how a job goes, checks tables that it is told of, or reads settings, whose values reach a rule as its params
SILENT = ("flow/", "declarations/", "study/")
LOUD = (
    "study/texts.py",
    "study/blocks.py",
    "study/items.py",
    "study/tasks.py",
)


def imported_modules(script: Path) -> frozenset[Path]:
    """Return the library modules that a script imports, directly or through others, imports in functions included.

    Relative, absolute and package imports (`from steerdose.model import chat`) count, and the packages' own files.
    """
    found: set[Path] = set()
    new = direct_imports(script)
    while new:
        found |= new
        new = frozenset().union(*(direct_imports(path) for path in new)) - found
    return frozenset(found)


@cache
def direct_imports(script: Path) -> frozenset[Path]:
    """Return the library modules that a script's own import statements run."""
    return frozenset(path for name in _imports(script) for path in _files(name))


def _imports(script: Path) -> Iterator[str]:
    """Yield the dotted names, from the library's root, of all that a script may import."""
    package = script.relative_to(LIBRARY).parent.parts if script.is_relative_to(LIBRARY) else ()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == LIBRARY.name:
                    yield alias.name.partition(".")[2]
        elif isinstance(node, ast.ImportFrom):
            parts = (node.module or "").split(".") if node.module else []
            if node.level:
                parts = [*package[: len(package) - node.level + 1], *parts]
            elif parts[0] == LIBRARY.name:
                parts = parts[1:]
            else:
                continue
            yield from (".".join([*parts, alias.name]) for alias in node.names)


def _files(name: str) -> Iterator[Path]:
    """Yield the files that importing a dotted name runs; its last part may be an object inside a module."""
    path = LIBRARY
    for part in name.split(".") if name else ():
        path = path / part
        if (path / "__init__.py").is_file():
            yield path / "__init__.py"
        elif path.with_suffix(".py").is_file():
            yield path.with_suffix(".py")


def code_digest(script: str | Path) -> str:
    """Return a sha256 over the library modules that a script computes with.

    Not the script itself, which Snakemake watches, and not `SILENT` modules, which do not change what is computed.
    """
    modules = {str(path.relative_to(LIBRARY)): path for path in imported_modules(Path(script))}
    loud = [path for name, path in sorted(modules.items()) if name in LOUD or not name.startswith(SILENT)]
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in loud)).hexdigest()[:16]
