"""The names of the options that a PEFT family knows, read from its source: to import PEFT takes seconds, and torch."""

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

BASES = {"LoraConfig": "tuners/lora/config.py", "LycorisConfig": "tuners/lycoris_utils.py", "PeftConfig": "config.py"}
OWN = frozenset({"peft_type", "task_type", "target_modules"})  # what a method's own keys say


@cache
def options_of(peft_type: str) -> frozenset[str] | None:
    """Return the names of a family's options; None where its source is not found: then PEFT will say."""
    spec = find_spec("peft")
    root = Path(spec.origin).parent if spec and spec.origin else None
    if root is None or not (root / f"tuners/{peft_type.lower()}/config.py").is_file():
        return None
    classes = _classes(root / f"tuners/{peft_type.lower()}/config.py")
    config = next((each for each in classes.values() if _is_of(each, peft_type)), None)
    return frozenset(_fields(config, root, classes)) - OWN if config else None


def _classes(path: Path) -> dict[str, ast.ClassDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _is_of(config: ast.ClassDef, peft_type: str) -> bool:
    """Whether a class sets its `peft_type` to this family."""
    return any(isinstance(node, ast.Attribute) and node.attr == peft_type for node in ast.walk(config))


def _fields(config: ast.ClassDef, root: Path, near: dict[str, ast.ClassDef]) -> set[str]:
    """Return the fields of a dataclass and of the classes that it builds on."""
    fields = [node for node in config.body if isinstance(node, ast.AnnAssign) and not _is_hidden(node)]
    found = {node.target.id for node in fields if isinstance(node.target, ast.Name)}
    for base in config.bases:
        name = base.id if isinstance(base, ast.Name) else ""
        if name in near:
            found |= _fields(near[name], root, near)
        elif name in BASES:
            inside = _classes(root / BASES[name])
            found |= _fields(inside[name], root, inside)
    return found


def _is_hidden(node: ast.AnnAssign) -> bool:
    """Whether a field is not to be given, `field(init=False)`."""
    given = node.value.keywords if isinstance(node.value, ast.Call) else []
    return any(each.arg == "init" and getattr(each.value, "value", True) is False for each in given)
