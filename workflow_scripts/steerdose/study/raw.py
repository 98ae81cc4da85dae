"""What must not be in a config before it is read as a study: keys given twice, cycles, control characters."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Place = tuple[str | int, ...]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # of texts, which have tabs and line feeds
CONTROL_OF_KEYS = re.compile(r"[\x00-\x1f\x7f]")
DEEPEST = 30


def problems_of_content(config: Any) -> Iterator[tuple[Place, str]]:
    """Yield the place and text of every key or string with a control character, and of what lies too deep."""
    stack: list[tuple[Place, Any]] = [((), config)]
    while stack:
        place, node = stack.pop()
        if len(place) > DEEPEST:
            yield place[:3], "is nested without end; an anchor of YAML must not lie in what it names"
            return
        if isinstance(node, str) and (found := CONTROL.search(node)):
            yield place, f"holds the control character {found[0]!r}; remove it"
        pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in pairs:
            if isinstance(key, str) and CONTROL_OF_KEYS.search(key):
                yield place, f"the key {key!r} holds a control character; remove it"
            else:
                stack.append(((*place, key), value))


def repeated_keys(file: Path) -> Iterator[tuple[Place, str]]:
    """Yield the file and a text for every key that it gives twice in one mapping: the first would be lost silently."""
    try:
        root = yaml.compose(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, ValueError, yaml.YAMLError):
        return  # snakemake has read it, or says what is wrong
    seen: set[int] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if key.value in lines and isinstance(key, yaml.ScalarNode):
                    yield (str(file),), f"the key '{key.value}' is given twice, in lines {lines[key.value]} and {line}"
                if isinstance(key, yaml.ScalarNode):
                    lines[key.value] = line
                stack.append(value)
        elif isinstance(node, yaml.SequenceNode):
            stack.extend(node.value)
