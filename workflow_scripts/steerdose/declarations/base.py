"""What a declared table is."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["text", "integer", "number", "boolean"]


@dataclass(frozen=True)
class Column:
    """One column; a name like `same_fork_{probe}` stands for all columns that a study has of that pattern."""

    name: str
    kind: Kind
    unit: str
    meaning: str

    def stands_for(self, name: str) -> bool:
        """Whether a frame's column of this name is meant."""
        return re.fullmatch(re.sub(r"\\{\w+\\}", ".+", re.escape(self.name)), name) is not None

    @property
    def told(self) -> str:
        """The column in words, as a page names it."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.name.replace('_', ' ')}{unit}: {self.meaning}"

    @property
    def is_pattern(self) -> bool:
        """Whether there may be none or many of it."""
        return "{" in self.name


@dataclass(frozen=True)
class Table:
    """One table. path: of the files, without their extension where csv and html stand beside each other.

    reading: how a reader should take it, with the terms that columns alone do not explain; empty for a table that only
    passes between rules. shown: the columns of the html page, where they are not those of the file.
    """

    name: str
    rule: str
    path: str
    row: str
    columns: tuple[Column, ...]
    title: str = ""
    reading: str = ""
    shown: tuple[Column, ...] = ()

    @property
    def caption(self) -> str:
        """What stands above the html page: how to read it, and after an empty line a line a column."""
        known = ("model", "behavior", "seed", "method")
        told = [each.told for each in self.shown or self.columns if each.name not in known]
        return f"{self.reading}\n\n" + "\n".join(told)

    def find(self, name: str, shown: bool = False) -> Column | None:
        """Return the declaration of a frame's column; None where it has none."""
        columns = self.shown if shown and self.shown else self.columns
        return next((each for each in columns if each.stands_for(name)), None)


def columns(lines: str) -> tuple[Column, ...]:
    """Return the columns that are written one a line: name | kind | unit | meaning."""
    found = []
    for line in filter(None, map(str.strip, lines.splitlines())):
        name, kind, unit, meaning = (part.strip() for part in line.split("|", 3))
        if kind not in get_args(Kind):
            raise ValueError(f"{name}: '{kind}' is not one of {get_args(Kind)}")
        found.append(Column(name, kind, unit, meaning))  # type: ignore[arg-type]
    return tuple(found)
