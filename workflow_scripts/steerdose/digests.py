"""Digests of source code, so that editing a library module reruns the stages that use it and no others."""

import ast
import hashlib
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).parent


@cache
def imported_modules(script: Path) -> frozenset[Path]:
    """Return the library modules that a script imports, directly or through others, imports in functions included."""
    found = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == LIBRARY.name):
            inside = (node.module or "").removeprefix(LIBRARY.name).lstrip(".")
            names = [inside] if inside else [alias.name for alias in node.names]
            found |= {LIBRARY / f"{name}.py" for name in names}
    return frozenset(found).union(*(imported_modules(path) for path in found))


def code_digest(script: str | Path) -> str:
    """Return a sha256 over a script's library modules (not the script itself: Snakemake watches that)."""
    modules = sorted(imported_modules(Path(script)))
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in modules)).hexdigest()[:16]
