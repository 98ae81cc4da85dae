"""Programs that judge what a model wrote: how glad its words are, and whether it did as it was told.

Each is a function of a text and its item, registered under a scorer's name, with a value that is comparable between
texts of one item. What is broken is not asked of them: a loop of `amazing` would be the gladdest text there is.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import jsonschema
import py3langid
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from steerdose.errors import SteerdoseError
from steerdose.study.items import Row

SENTENCE = re.compile(r"""(?:(?<=[.!?])|(?<=[.!?]["')]))\s+|\n+""")
LETTERS = {"upper": str.isupper, "lower": str.islower}


def sentences(text: str) -> list[str]:
    """Return the sentences of a text; a line break ends one too."""
    return [part for each in SENTENCE.split(text) if (part := each.strip())]


def words(text: str) -> list[str]:
    """Return what stands between white space and has a letter or a digit."""
    return [each for each in text.split() if re.search(r"\w", each)]


def valence(text: str, item: Row) -> float:  # noqa: ARG001, as every scorer's
    """Return the mean valence of the sentences, -1 (gloomy) to 1 (glad); 0 of a text without any.

    VADER (Hutto and Gilbert 2014), a word list with rules for negation and emphasis that was fitted to human ratings:
    it needs no download, is the same on every machine, and says what it counted. It counts words: "not happy" is
    gloomy to it, "nobody is happy" is glad. The mean over sentences, since the valence of a whole text grows with its
    length until it saturates.
    """
    parts = sentences(text)
    return sum(_analyser().polarity_scores(part)["compound"] for part in parts) / len(parts) if parts else 0.0


@cache
def _analyser() -> Any:
    return SentimentIntensityAnalyzer()


def passed(text: str, item: Row) -> float:
    """Return the share of the item's checks that a text passes."""
    marks = [CHECKS[name](text.strip(), wanted) for name, wanted in item["checks"].items()]
    return sum(marks) / len(marks)


def check_items(rows: list[Row], place: str) -> None:
    """Raise SteerdoseError for an item whose checks are none, or unknown."""
    for row in rows:
        checks = row.get("checks")
        if not isinstance(checks, dict) or not checks or set(checks) - set(CHECKS):
            raise SteerdoseError(f"{place}: item '{row['id']}': `checks` is to name some of {sorted(CHECKS)}")


def _count(count: int, wanted: Mapping[str, int]) -> bool:
    return wanted.get("at_least", 0) <= count <= wanted.get("at_most", count)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _document(text: str) -> Any:
    """Return the JSON that a text consists of, inside a fence or not; raise ValueError where it is none."""
    fenced = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text, re.DOTALL)
    return json.loads(fenced[1] if fenced else text)


def _is_json(text: str, schema: Mapping[str, Any]) -> bool:
    try:
        jsonschema.validate(_document(text), schema)
    except (ValueError, RecursionError, jsonschema.ValidationError):
        return False
    return True


def _is_call(text: str, wanted: Mapping[str, Any]) -> bool:
    try:
        call = _document(text)
    except (ValueError, RecursionError):
        return False
    return call == {"tool": wanted["name"], "arguments": wanted["arguments"]}


def _is_in(text: str, language: str) -> bool:
    return bool(text) and str(py3langid.classify(text)[0]) == language


CHECKS: dict[str, Callable[[str, Any], bool]] = {
    "words": lambda text, wanted: _count(len(words(text)), wanted),
    "sentences": lambda text, wanted: _count(len(sentences(text)), wanted),
    "lines": lambda text, wanted: _count(len(_lines(text)), wanted),
    "lines_starting": lambda text, wanted: _count(
        sum(line.startswith(wanted["text"].strip()) for line in _lines(text)), wanted
    ),
    "includes": lambda text, wanted: all(each.casefold() in text.casefold() for each in wanted),
    "excludes": lambda text, wanted: not any(each.casefold() in text.casefold() for each in wanted),
    "starts": lambda text, wanted: text.startswith(wanted),
    "ends": lambda text, wanted: text.endswith(wanted),
    "letters": lambda text, wanted: LETTERS[wanted](text),
    "matches": lambda text, wanted: re.search(wanted, text) is not None,
    "language": _is_in,
    "json": _is_json,
    "tool_call": _is_call,
}
SCORERS: dict[str, Callable[[str, Row], float]] = {"valence": valence, "checks": passed}
