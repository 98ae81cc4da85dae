"""Files of one study that taking deltas apart reads and writes: a part of its plan."""

from collections.abc import Iterable
from functools import cached_property
from itertools import product
from typing import Any

from steerdose.study.config import Study
from steerdose.study.parts import OF_BASES, OF_SUBSPACES, OF_WEIGHTS
from steerdose.study.paths import BASES, CELL, MODEL, SUBSPACES, at, local_files


class AblationFiles:
    """The part of a plan that is about parts of deltas."""

    def __init__(self, study: Study) -> None:
        self.study = study

    @cached_property
    def cells(self) -> list[dict[str, Any]]:
        chosen = self.study.study
        keys = product(chosen.models, chosen.behaviors, chosen.seeds)
        return [dict(zip(("model", "behavior", "seed"), key, strict=True)) for key in keys]

    def each_cell(self, pattern: str) -> list[str]:
        return [pattern.format(**cell) for cell in self.cells]

    def _steering_of(self, w: Any, method: str) -> list[str]:
        return [at(w, f"{CELL}/steering/{self.study.entries[method]}.safetensors")]

    def part_weights(self, w: Any) -> list[str]:
        """Return the model where the entry's way to cut reads its weights."""
        return [at(w, MODEL)] if getattr(self.study.methods[w.entry], "by", "") in OF_WEIGHTS else []

    def part_bases(self, w: Any) -> list[str]:
        """Return the bases that the entry's way to cut projects on: of families, of hypotheses, or none."""
        by = getattr(self.study.methods[w.entry], "by", "")
        return [at(w, path) for ways, path in ((OF_BASES, BASES), (OF_SUBSPACES, SUBSPACES)) if by in ways]

    def families(self, w: Any) -> list[str]:
        """Return the steerings of all methods whose deltas are taken apart."""
        return [file for name in self.study.ablations.methods for file in self._steering_of(w, name)]

    def screened_items(self, w: Any) -> list[str]:
        """Return the files of the items that parts are screened on."""
        asked = self.study.ablations
        tasks = dict.fromkeys((asked.effects[w.behavior], asked.damage))
        return [file for name in tasks for file in local_files(self.study.tasks[name].data)]

    def screened_bases(self, w: Any) -> list[str]:
        files = {"bases": BASES, "hypotheses": SUBSPACES}
        return [at(w, files[w.group])] if w.group in files else []

    def screened(self, table: str) -> list[str]:
        """Return a table of the screen of every cell whose behavior has a task for it: parts or scores."""
        asked = self.study.ablations
        return self._screens(asked.methods, asked.groups, table)

    def caused(self, table: str) -> list[str]:
        """Return a table of the screen of parts in bases of hypotheses, like `screened`."""
        return self._screens(self.study.subspaces.causal, ("hypotheses",), table)

    def _screens(self, methods: Iterable[str], groups: Iterable[str], table: str) -> list[str]:
        cells = [cell for cell in self.cells if cell["behavior"] in self.study.ablations.effects]
        pattern = f"{CELL}/ablations/{{method}}.{{group}}.{table}.parquet"
        every = product(cells, methods, groups)
        return [pattern.format(**cell, method=name, group=group) for cell, name, group in every]

    def swept(self, table: str) -> list[str]:
        """Return a table of the sweep of subspaces of every cell and method: scores, chance or prompts."""
        pattern = f"{CELL}/subspaces/{{method}}.{table}.parquet"
        names = self.study.subspaces.methods
        return [pattern.format(**cell, method=name) for cell in self.cells for name in names]

    def angles(self) -> list[str]:
        """Return the tables of angles between families, a file a cell."""
        return self.each_cell(f"{CELL}/ablations/angles.parquet") if self.study.ablations.methods else []
