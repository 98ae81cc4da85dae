"""What every part of a study is: frozen, strict, without unknown keys; as text it changes only with its content."""

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from steerdose.errors import SteerdoseError

NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")  # of a file, a column, a wildcard
Name = Annotated[str, Field(pattern=NAME.pattern)]
Count = Annotated[int, Field(ge=1, le=10**6)]  # of prompts, tokens, steps, minutes: what nobody means is refused
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=1000)]
Temperature = Annotated[float, Field(ge=1e-4, le=100)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Text = Annotated[str, Field(min_length=1)]
Positions = Literal["all", "prompt", "generated"]
Quantization = Literal["8bit", "4bit"]


class Part(BaseModel):
    """A part of a study. Numbers are finite, whole numbers are no floats, names are no numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def text(self) -> str:
        """Return JSON that is equal for equal contents, in whatever order or spelling the config gave them."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what `text` wrote."""
        return cls.model_validate_json(text)


def unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values; raise ValueError where one comes twice."""
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"{', '.join(repeated)} more than once; name each once")
    return values


def told_apart(answers: tuple[str, str]) -> tuple[str, str]:
    """Return two answers; raise ValueError where one begins with the other, so that its first tokens say neither."""
    short, long = sorted(map(str.strip, answers), key=len)
    if long.startswith(short):
        raise ValueError(f"'{long}' begins with '{short}', so an answer that begins so is both; give others")
    return answers


def pick(mapping: dict[str, Any], name: str, key: str) -> Any:
    """Return an entry of the config; raise SteerdoseError with the names that there are."""
    if name not in mapping:
        raise SteerdoseError(f"'{name}' is not defined under {key} (defined: {sorted(mapping)})")
    return mapping[name]


def spelled(values: Iterable[int | str]) -> list[str]:
    """Return names with ranges of numbers like 9-23 spelled out."""
    found: list[str] = []
    for each in map(str, values):
        span = re.fullmatch(r"([0-9]+)-([0-9]+)", each)
        if span and int(span[1]) > int(span[2]):
            raise ValueError(f"{each} is empty; give a rising range like 9-23")
        found += map(str, range(int(span[1]), int(span[2]) + 1)) if span else [each]
    return found


def rising(value: tuple[float, float]) -> tuple[float, float]:
    """Return two fractions; raise ValueError where nothing lies between them."""
    if value[0] >= value[1]:
        raise ValueError(f"{value[0]} to {value[1]} is empty; give two rising fractions like [0.3, 0.8]")
    return value
