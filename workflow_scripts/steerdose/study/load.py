"""From config to study: parsed, its references and texts checked; all problems at once, each with what to do."""

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from steerdose.errors import SteerdoseError
from steerdose.study.checks import problems_of
from steerdose.study.config import Study
from steerdose.study.methods import Entry
from steerdose.study.raw import Place, problems_of_content, repeated_keys

KINDS = tuple(get_args(kind.model_fields["kind"].annotation)[0] for kind in get_args(get_args(Entry)[0]))
WANTED = {"model_type": "keys are wanted", "dict_type": "keys are wanted", "tuple_type": "a list is wanted"}


def load_study(config: dict[str, Any], files: Sequence[str | Path] = ()) -> Study:
    """Return the study of a config; raise SteerdoseError with every problem: key path, message, and remedy.

    files: the config files, each laid over those before it, so that a problem is reported with the one that holds it.
    """
    if found := list(problems_of_content(config)):
        raise _refusal(found, files)
    if repeated := [problem for file in files for problem in repeated_keys(Path(file))]:
        raise _refusal(repeated, ())
    try:
        study = Study.parse(json.dumps(config, default=str))
    except ValidationError as error:
        raise _refusal(list(_problems(error, config)), files) from None
    if found := list(problems_of(study)):
        raise _refusal(found, files)
    return study


def _refusal(problems: Sequence[tuple[Place, str]], files: Sequence[str | Path]) -> SteerdoseError:
    lines = [
        f"{_file_of(place, files)}{'.'.join(map(_shown, place))}{': ' if place else ''}{text}"
        for place, text in problems
    ]
    return SteerdoseError("the config is not valid:\n  " + "\n  ".join(lines))


def _shown(part: str | int) -> str:
    """Return a key as it is written, what cannot be printed escaped."""
    return str(part) if str(part).isprintable() else ascii(part)[1:-1]


def _problems(error: ValidationError, config: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """Yield place and text of each problem, one a place; of a union only what speaks of the type that the value has."""
    found: dict[Place, Any] = {}
    # Where a number or a mapping was possible and a mapping was given, what speaks of the mapping comes first.
    for each in sorted(error.errors(), key=_wants_number):
        place = _place(each, config)
        if not (_wants_number(each) and any(other[: len(place)] == place for other in found)):
            found.setdefault(place, each)
    for place, each in found.items():
        inside = any(len(other) > len(place) and other[: len(place)] == place for other in found)
        # What is wrong with the items of a list is said already.
        if not (inside and each["type"] in ("too_short", "literal_error")):
            yield place, _text(place, each)


def _wants_number(found: Any) -> bool:
    return found["type"] in ("float_type", "int_type") and isinstance(found["input"], dict)


def _text(place: Place, found: Any) -> str:
    """Return what is wrong at a place and what to do, from one of pydantic's errors."""
    kind, shown = found["type"], json.dumps(found["input"], default=str)[:80]
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(place[-1]), _known_keys() - {str(place[-1])}, n=1, cutoff=0.7)
        return f"unknown key; {f'did you mean {near[0]}?' if near else 'remove it, or see config.yaml for its name'}"
    if kind == "union_tag_invalid":
        kinds = re.findall(r"'([^']+)'", found["ctx"]["expected_tags"])
        near = difflib.get_close_matches(found["ctx"]["tag"], kinds, n=1)
        return f"'{found['ctx']['tag']}' is not one of {kinds}{f'; did you mean {near[0]}?' if near else ''}"
    if kind == "union_tag_not_found":
        return f"this key is missing; give one of {list(KINDS)}"
    if kind == "missing":
        named = isinstance(found["input"], dict)
        return "this key is missing; config.yaml has it with a comment" if named else f"this is missing in {shown}"
    if kind in WANTED:
        return f"{WANTED[kind]}, found {shown}"
    text = found["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        return str(text)
    text = text.replace("Tuple should", "list should").replace(" after validation", "")
    return f"{text[0].lower()}{text[1:]}, found {shown}"


def _place(found: Any, config: Any) -> Place:
    """Return the key path in the config, without the names that pydantic gives to the members of a union."""
    loc, kind = found["loc"], found["type"]
    place: list[str | int] = []
    entered = False  # a mapping, of which pydantic may say next of what kind it is
    for index, part in enumerate(loc):
        if entered and part == config.get("kind"):
            entered = False
            continue
        here = _has(config, part)
        if here:
            config = config[part]
        entered = here and isinstance(config, dict)
        if here or (kind == "missing" and index == len(loc) - 1):
            place.append(part)
    return (*place, "kind") if kind.startswith("union_tag") else tuple(place)


def _has(node: Any, part: str | int) -> bool:
    return part in node if isinstance(node, dict) else isinstance(node, list) and part in range(len(node))


@cache
def _known_keys() -> frozenset[str]:
    schema = Study.model_json_schema()
    parts = [schema, *schema["$defs"].values()]
    return frozenset(key for part in parts for key in part.get("properties", {}))


def _file_of(place: Place, files: Sequence[str | Path]) -> str:
    """Return the last file that sets the key, or else what it lies in, as a prefix; nothing where there is one file."""
    read = {str(name): _read(Path(name)) for name in files if len(files) > 1}
    for end in range(len(place), 0, -1):
        holding = [name for name, config in read.items() if _holds(config, place[:end])]
        if holding:
            return f"{holding[-1]}: "
    return ""


def _read(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None


def _holds(config: Any, place: Place) -> bool:
    for part in place:
        if not _has(config, part):
            return False
        config = config[part]
    return True
