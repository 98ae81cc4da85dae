"""From config to study: parsed, its references and texts checked; all problems at once, each with what to do."""

import difflib
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from steerdose.errors import SteerdoseError
from steerdose.study.checks import problems_of
from steerdose.study.config import Study

Place = tuple[str | int, ...]


def load_study(config: dict[str, Any], files: Sequence[str | Path] = ()) -> Study:
    """Return the study of a config; raise SteerdoseError with every problem: key path, message, and remedy.

    files: the config files that were laid over each other, so that a problem is reported with the one that holds it.
    """
    try:
        study = Study.parse(json.dumps(config, default=str))
    except ValidationError as error:
        found = list(dict.fromkeys(_problems(error, config)))
    else:
        found = list(problems_of(study))
    if found:
        lines = [f"{_file_of(place, files)}{'.'.join(map(str, place)) or 'top level'}: {text}" for place, text in found]
        raise SteerdoseError("the config is not valid:\n  " + "\n  ".join(lines))
    return study


def _problems(error: ValidationError, config: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """Yield place and text of each problem; of a union only what speaks of the type that the value has."""
    for found in error.errors():
        kind, value, place = found["type"], found["input"], _place(found["loc"], found["type"], config)
        if kind in ("float_type", "int_type") and isinstance(value, dict):
            continue  # a number or a mapping was possible, and a mapping was given
        if kind in ("model_type", "missing") and not isinstance(value, dict):
            continue
        text = found["msg"].removeprefix("Value error, ")
        if kind == "extra_forbidden":
            near = difflib.get_close_matches(str(place[-1]), _known_keys(), n=1, cutoff=0.6)
            text = f"unknown key{f'; did you mean {near[0]}?' if near else ''}"
        elif kind == "missing":
            text = "this key is missing; config.yaml has it with a comment"
        elif kind != "value_error":
            text = f"{text[0].lower()}{text[1:]}, found {json.dumps(value, default=str)[:80]}"
        yield place, text


def _place(loc: Place, kind: str, config: Any) -> Place:
    """Return the key path in the config, without the names that pydantic gives to the members of a union."""
    place: list[str | int] = []
    for index, part in enumerate(loc):
        here = part in config if isinstance(config, dict) else isinstance(config, list) and isinstance(part, int)
        if here:
            config = config[part]
        if here or (kind == "missing" and index == len(loc) - 1):
            place.append(part)
    return tuple(place)


@cache
def _known_keys() -> tuple[str, ...]:
    schema = Study.model_json_schema()
    parts = [schema, *schema["$defs"].values()]
    return tuple(sorted({key for part in parts for key in part.get("properties", {})}))


def _file_of(place: Place, files: Sequence[str | Path]) -> str:
    """Return the name of the last file that sets the key, or what it lies in, as a prefix; nothing for the only one."""
    holding = [name for name in files if _holds(Path(name), place)]
    return f"{holding[0]}: " if len(files) > 1 and holding else ""


def _holds(file: Path, place: Place) -> bool:
    found: Any = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
    for part in place:
        if isinstance(found, list) and isinstance(part, int):
            found = dict(enumerate(found))
        if isinstance(found, dict) and part in found:
            found = found[part]
        else:
            return False
    return True
