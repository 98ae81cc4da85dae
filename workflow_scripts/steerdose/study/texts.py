"""The texts of a study: prompts with splits, yes/no questions, personas, system prompts. Only read here."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from steerdose.errors import SteerdoseError

SCHEMAS = Path(__file__).parents[2] / "schemas"
YAML_KINDS = ("personas", "system_prompts")  # the others are JSON lines
SPLITS = ("pairs", "calibration", "audit", "heldout")


@dataclass(frozen=True)
class Prompt:
    """One user message of a split."""

    id: str
    category: str
    split: str
    prompt: str


@dataclass(frozen=True)
class Question:
    """One yes/no question with its true answer."""

    id: str
    topic: str
    question: str
    answer: bool


@dataclass(frozen=True)
class Personas:
    """System texts of a behavior: the i-th positive is opposed to the i-th negative."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]


def schema_problems(document: Any, schema: str) -> list[str]:
    """Return every violation of workflow_scripts/schemas/{schema}, each as 'key path: message'."""
    rules = yaml.safe_load((SCHEMAS / schema).read_text(encoding="utf-8"))
    errors = sorted(Draft202012Validator(rules).iter_errors(document), key=lambda error: list(map(str, error.path)))
    return [f"{'.'.join(map(str, error.absolute_path)) or 'top level'}: {error.message}" for error in errors]


def _read(path: str | Path, kind: str) -> Any:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise SteerdoseError(f"data.{kind}: cannot read {path} ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise SteerdoseError(f"data.{kind}: {path} is not UTF-8 ({error}); save it as UTF-8") from error
    document: Any = []
    if kind in YAML_KINDS:
        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise SteerdoseError(f"data.{kind}: {path} is not valid YAML: {error}") from error
    else:
        for number, line in enumerate(text.split("\n"), start=1):
            try:
                document += [json.loads(line)] if line.strip() else []
            except ValueError as error:
                raise SteerdoseError(f"data.{kind}: {path} is not valid JSON lines: line {number}: {error}") from error
    if problems := schema_problems(document, f"{kind}.schema.yaml"):
        raise SteerdoseError(f"data.{kind}: {path} does not match its schema:\n  " + "\n  ".join(problems[:20]))
    return document


def _refuse_repeats(path: str | Path, entries: Sequence[tuple[str, str, str]]) -> None:
    """Refuse equal ids, and equal texts up to case and white space; entries are (id, text, split)."""
    seen: dict[str, tuple[str, str]] = {}
    problems = []
    ids = [entry[0] for entry in entries]
    problems += [f"id '{name}' occurs {ids.count(name)} times" for name in sorted({i for i in ids if ids.count(i) > 1})]
    for name, text, split in entries:
        other = seen.setdefault(" ".join(text.casefold().split()), (name, split))
        if other[0] != name:
            where = f"splits '{other[1]}' and '{split}' overlap" if split != other[1] else "the same text twice"
            problems.append(f"{where}: {other[0]} and {name} both say '{text[:60]}'")
    if problems:
        raise SteerdoseError(f"{path} repeats itself; remove one of each:\n  " + "\n  ".join(problems[:20]))


def load_prompts(path: str | Path) -> list[Prompt]:
    """Read the prompts; raise SteerdoseError on a schema violation or when a text occurs in two splits."""
    prompts = [Prompt(**row) for row in _read(path, "prompts")]
    _refuse_repeats(path, [(p.id, p.prompt, p.split) for p in prompts])
    return prompts


def load_questions(path: str | Path) -> list[Question]:
    """Read the questions; raise SteerdoseError on a schema violation or a repeated text."""
    questions = [Question(**row) for row in _read(path, "questions")]
    _refuse_repeats(path, [(q.id, q.question, "questions") for q in questions])
    return questions


def load_personas(path: str | Path) -> dict[str, Personas]:
    """Return the personas by behavior."""
    document = _read(path, "personas")["behaviors"]
    personas = {name: Personas(tuple(b["positive"]), tuple(b["negative"])) for name, b in document.items()}
    for name, both in personas.items():
        if len(both.positive) != len(both.negative):
            raise SteerdoseError(
                f"{path}: behaviors.{name} has {len(both.positive)} positive and {len(both.negative)} negative "
                "personas; they are matched by position, so give as many of each"
            )
    return personas


def load_system_prompts(path: str | Path) -> dict[str, dict[str, dict[str, str]]]:
    """Return the texts of prompt baselines by behavior, style (simple, engineered) and sign (positive, negative)."""
    return dict(_read(path, "system_prompts")["behaviors"])


def take(prompts: Sequence[Prompt], split: str, count: int) -> list[Prompt]:
    """Return `count` prompts of a split, round-robin over the categories in their order in the file."""
    by_category: dict[str, list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        if prompt.split == split:
            by_category[prompt.category].append(prompt)
    rounds = max(map(len, by_category.values()), default=0)
    ordered = [group[i] for i in range(rounds) for group in by_category.values() if i < len(group)]
    if len(ordered) < count:
        raise SteerdoseError(f"{count} prompts of split '{split}' are wanted, the file has {len(ordered)}")
    return ordered[:count]
