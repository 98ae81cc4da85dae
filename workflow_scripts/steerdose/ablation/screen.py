"""Every part of a weight delta, read on the same fixed texts: at the whole's coefficient, at its norm, at its KL.

A part is shorter than the whole, and a response is no straight line; so a part that does less at the same coefficient
may do as much at the same norm, or at the same KL on the same texts. Nothing is written: of fixed texts the change of
log-probability has no chance in it, so that a few items tell parts apart that the model's own texts would not.
"""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from steerdose.ablation.places import PLACE, WHOLE_PLACE, ZERO_PLACE, Place
from steerdose.columns import Cell
from steerdose.cuts.ways import CONTROLS, Part, both, hypothesis, names_of
from steerdose.cuts.whole import Placed, Whole, is_writer, squared
from steerdose.declarations.ablations import SCREEN_SCORES, SCREENED_PARTS
from steerdose.dose.search import NOISE, find_dose
from steerdose.engine.replay import Reading, Replay
from steerdose.engine.score import Item
from steerdose.errors import SteerdoseError
from steerdose.files import read_json, typed, write_table
from steerdose.flow.progress import Bar
from steerdose.make.parts import opened
from steerdose.model.linear import linear_weights
from steerdose.model.loading import load_model
from steerdose.outcomes.scores import TASKS, rows_of
from steerdose.outcomes.tasks.likelihood import OWN
from steerdose.steering.intervention import UNSTEERED
from steerdose.steering.steering import Steering
from steerdose.study.items import Row
from steerdose.study.parts import OF_BASES, OF_SUBSPACES
from steerdose.study.settings import ScreenParts
from steerdose.study.tasks import ReadTask

log = logging.getLogger(__name__)
ENERGIES = (0.01, 0.03, 0.1, 0.3)  # at which random copies are read too: what a push of so much energy does
SAME = 1e-6  # a part with all of the energy but so much is the whole delta


@dataclass(frozen=True)
class Asked:
    """A task and its items, and where these stand among all that is read."""

    name: str
    task: ReadTask
    rows: Sequence[Row]
    items: Sequence[Item]


@dataclass
class Screen:
    """The texts, and what was read of them. parts, scores: rows of the two tables."""

    replay: Replay
    asked: Sequence[Asked]
    settings: ScreenParts
    coefficient: float
    target: float = 0.0
    parts: list[dict[str, Any]] = field(default_factory=list)
    scores: list[tuple[Any, ...]] = field(default_factory=list)

    def whole(self, whole: Whole) -> None:
        """Read the unsteered model and the whole delta, whose KL is the target of all that follows."""
        self._keep(ZERO_PLACE, self.replay.unsteered, coefficient=0.0, energy=0.0)
        found = self.replay.read(steering_of(whole.edits), self.coefficient)
        self.target = found.mean_kl
        if not NOISE < self.target < math.inf:
            raise SteerdoseError(
                f"the whole delta has a KL of {self.target:.3g} nats at coefficient {self.coefficient:.4g} on the "
                "screen's texts, which no part can be matched to; change ablations.alpha"
            )
        self._keep(WHOLE_PLACE, found, coefficient=self.coefficient, energy=1.0)

    def part(self, way: str, side: str, part: Part) -> None:
        """Read one part."""
        place, steering = (way, part.name, side), steering_of(part.kept)
        told: dict[str, Any] = {"energy": part.energy, "error": part.error, "tensors": len(part.kept)}
        found = {self.coefficient: self.replay.read(steering, self.coefficient)}
        self._keep((*place, "coefficient"), found[self.coefficient], coefficient=self.coefficient, **told)
        if side == "keep" and way not in (*CONTROLS, *OF_SUBSPACES):  # these are too short: ten times the coefficient
            longer = self.coefficient / math.sqrt(part.energy)
            found[longer] = self.replay.read(steering, longer)
            self._keep((*place, "norm"), found[longer], coefficient=longer, **told)
        for energy in ENERGIES if way == "random" else ():
            shorter = self.coefficient * math.sqrt(energy)
            found[shorter] = self.replay.read(steering, shorter)
            self._keep((*place, f"energy{energy:g}"), found[shorter], coefficient=shorter, **told | {"energy": energy})
        self._match((*place, "kl"), steering, found, told)

    def rest(self, way: str, part: Part, whole: Whole) -> None:
        """Read what is left of the writers alone without a subspace of theirs, at the whole's coefficient."""
        kept = [(path, edit) for path, edit in part.kept if is_writer(path)]
        if kept:
            told: dict[str, Any] = {"energy": squared(kept) / whole.squared, "error": part.error, "tensors": len(kept)}
            found = self.replay.read(steering_of(kept), self.coefficient)
            place = (way, part.name, "rest", "coefficient")
            self._keep(place, found, coefficient=self.coefficient, **told)

    def absent(self, way: str, name: str, side: str, why: str) -> None:
        """Say of a part why it was not read."""
        self.parts.append(dict(zip(PLACE, (way, name, side, "coefficient"), strict=True)) | {"note": why})

    def _match(self, place: Place, steering: Steering, found: dict[float, Reading], told: Mapping[str, Any]) -> None:
        """Read a part at the coefficient at which its KL is the whole's. found: its readings so far, by coefficient."""
        known = {coefficient: reading.mean_kl for coefficient, reading in found.items()}

        def statistic(coefficient: float) -> float:
            found[coefficient] = self.replay.read(steering, coefficient)
            return found[coefficient].mean_kl

        try:
            dose = find_dose(
                statistic, self.target, tolerance=self.settings.tolerance, known=known,
                max_evaluations=self.settings.max_evaluations,
            )  # fmt: skip
        except SteerdoseError as error:
            log.info("%s: %s", place, error)
            self.parts.append({**dict(zip(PLACE, place, strict=True)), **told, "note": "no coefficient has this KL"})
            return
        note = "" if dose.converged else f"KL not matched: {dose.reason}"
        self._keep(place, found[dose.c_star], coefficient=dose.c_star, note=note, **told)

    def _keep(self, place: Place, reading: Reading, *, note: str = "", **told: Any) -> None:
        kl = reading.mean_kl
        row = dict(zip(PLACE, place, strict=True)) | told
        self.parts.append(row | {"kl": kl if math.isfinite(kl) else None, "note": note})
        start = 0
        for each in self.asked:
            own = reading.scores[start : start + len(each.items)]
            start += len(each.items)
            self.scores += [
                (*place, each.name, *found) for found in TASKS[each.task.kind].found(each.rows, each.task, own)
            ]


def steering_of(edits: Sequence[Placed]) -> Steering:
    """Return edits as a steering."""
    return Steering("part", tuple(edits), {})


def screen_parts(
    *,
    model: str,
    steering: str,
    doses: str,
    bases: list[str],
    reference: str,
    questions: str,
    method: str,
    cell: Cell,
    settings: ScreenParts,
    parts: str,
    scores: str,
) -> None:
    """Read every part of a method's edits that the ways of one group make, and write two tables.

    parts: a row a part and where it was read, see `SCREENED_PARTS`; scores: what the tasks found of every item. Raises
    SteerdoseError for a method that is no weight delta.
    """
    loaded = load_model(model, settings.run)
    directions = {*settings.ways} <= {*OF_SUBSPACES}
    whole = opened(Steering.load(steering), method, [], bases, cell.of(None), directions=directions)
    whole.weights = linear_weights(loaded.model)
    asked = list(_asked(loaded.tokenizer, settings, reference, questions))
    replay = Replay(loaded, [item for each in asked for item in each.items])
    dose = read_json(doses)[method]["positive"]["c_star"] * settings.alpha
    screen = Screen(replay, asked, settings, dose)
    screen.whole(whole)
    for way in settings.ways:
        log.info("%s: %s", way, hypothesis(way))
    wanted = [(way, name) for way in settings.ways for name in _names(screen, whole, way, settings)]
    with Bar(len(wanted), "parts") as progress:
        for way, name in wanted:
            _screened(screen, whole, way, name)
            progress.update()
    write_table(typed(screen.parts, SCREENED_PARTS, cell), parts, SCREENED_PARTS)
    write_table(typed(screen.scores, SCREEN_SCORES, cell), scores, SCREEN_SCORES)


def _asked(tokenizer: Any, settings: ScreenParts, reference: str, questions: str) -> Iterator[Asked]:
    """Yield the two tasks: the effect's, and the unsteered model's own answers, of which the beginnings are read."""
    for name, task in ((settings.effect, settings.task), (settings.damage, settings.texts)):
        rows = rows_of(task, settings.template, [reference], questions)
        if task is settings.texts:
            own = [row for row in rows if row["register"] == OWN]
            rows = [{**row, "token_ids": row["token_ids"][: settings.n_tokens]} for row in own]
        yield Asked(name, task, rows, TASKS[task.kind].items(tokenizer, rows, task, [UNSTEERED]))


def _names(screen: Screen, whole: Whole, way: str, settings: ScreenParts) -> list[str]:
    try:
        return names_of(whole, way, settings.widths, settings.draws)
    except SteerdoseError as error:
        screen.absent(way, "", "keep", f"not applicable: {error}")
        return []


def _screened(screen: Screen, whole: Whole, way: str, name: str) -> None:
    """Read a part and what is left without it; say why where there is no such part."""
    try:
        sides = both(whole, way, name)
    except SteerdoseError as error:
        screen.absent(way, name, "keep", f"not applicable: {error}")
        return
    for side, part in zip(("keep", "drop"), sides, strict=True):
        if part is None and way not in CONTROLS:
            screen.absent(way, name, side, "empty")
        elif part and way not in CONTROLS and part.energy > 1 - SAME:
            screen.absent(way, name, side, "is the whole delta")
        elif part:
            screen.part(way, side, part)
        if side == "drop" and part and way in OF_BASES:
            screen.rest(way, part, whole)
