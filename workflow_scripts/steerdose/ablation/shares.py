"""How much of a delta's effect a part keeps, and how much is gone without it.

retained = effect(part) / effect(whole), removed = 1 - effect(whole without it) / effect(whole); both at the coefficient
of the whole, at its norm, or at its KL. Parts and whole are read on the same items, which are resampled together, and
with several seeds the seeds too. A ratio is given only where the whole's own effect is told from 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import false_discovery_control

from steerdose.ablation.places import PLACE, WHOLE_PLACE, WRITERS_PLACE, ZERO_PLACE, Place
from steerdose.benefit.contrasts import Seeds
from steerdose.benefit.effects import estimated, resampled, rows_of, sums_by_dose
from steerdose.errors import SteerdoseError
from steerdose.seeds import seed_from
from steerdose.study.parts import OF_BASES

Draws = Mapping[Place, np.ndarray]  # (1 + draws,) by place: as estimated, and in every resample


@dataclass(frozen=True)
class Drawn:
    """What a task's measure changes under every part, on so many clusters of items."""

    draws: Draws
    n: int


def drawn(scores: pl.DataFrame, task: Any, measure: str) -> Drawn:
    """Return the changes of one measure in one cell. scores: of the groups of one method, of this task.

    Raises SteerdoseError unless every part was read on the same items, and every group found the same of the whole.
    """
    once = scores.unique(maintain_order=True)
    keys = [*PLACE, "item", "form", "metric"]
    if once.select(keys).is_duplicated().any():
        raise SteerdoseError(
            "the groups of parts were read on other texts, or another whole; rerun screen_parts "
            "(--forcerun screen_parts)"
        )
    named = once.with_columns(pl.concat_str(PLACE, separator="\t").alias("method"))
    zero = "\t".join(ZERO_PLACE)
    base, others = named.filter(method=zero), named.filter(pl.col("method") != zero)
    parts = others.select("method").unique(maintain_order=True)
    unsteered = parts.join(base.drop("method"), how="cross").select(others.columns).with_columns(alpha=pl.lit(0.0))
    rows = rows_of(pl.concat([unsteered, others.with_columns(alpha=pl.lit(1.0))]), task, measure)
    sums = sums_by_dose(rows, task)
    n = rows["cluster"].n_unique()
    weights = resampled(n)
    found = {_place(name): own[1.0].estimates(weights)["effect"] for name, own in sums.items()}
    return Drawn({**found, ZERO_PLACE: np.zeros(len(weights))}, n)


def _place(name: str) -> Place:
    way, part, side, at = name.split("\t")
    return way, part, side, at


def pooled(cells: Sequence[Drawn]) -> Drawn:
    """Return the mean over seeds, items and seeds resampled. Raises SteerdoseError where the items differ."""
    if len({cell.n for cell in cells}) != 1:
        raise SteerdoseError("the seeds were read on other items; rerun screen_parts (--forcerun screen_parts)")
    draws, n_seeds = len(cells[0].draws[ZERO_PLACE]) - 1, len(cells)
    picks = np.random.default_rng(seed_from("contrasts", n_seeds)).integers(n_seeds, size=(draws, n_seeds))
    shared = [place for place in cells[0].draws if all(place in cell.draws for cell in cells)]
    every = {place: np.stack([cell.draws[place] for cell in cells]) for place in shared}
    return Drawn({place: Seeds(own, cells[0].n).pooled(picks) for place, own in every.items()}, cells[0].n)


def shares(effect: Drawn, damage: Drawn, confidence: float) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield every part with its effect, what it retains or removes, and its damage.

    sure_low, sure_high: bounds of `retained` that hold for all parts of one way, side and matching at once (the
    studentised maximum over resamples; Westfall and Young 1993). q: of an effect other than 0, over all parts at one
    matching (Benjamini and Hochberg 1995).
    """
    whole = effect.draws[WHOLE_PLACE]
    rows = {place: _row(place, own, effect.n, damage, confidence) for place, own in effect.draws.items()}
    if is_told(whole, effect.n, confidence):
        ratios = {place: own / whole for place, own in effect.draws.items()}
        bounds = _simultaneous(ratios, confidence)
        for place, row in rows.items():
            row |= _share(place, ratios[place], confidence) | bounds[place]
        for place, found in _within(effect, confidence).items():
            rows[place] |= found
    _add_q(rows)
    yield from rows.items()


def _row(place: Place, own: np.ndarray, n: int, damage: Drawn, confidence: float) -> dict[str, Any]:
    row: dict[str, Any] = {"n": n, **estimated({"effect": own}, n, confidence)}
    if place in damage.draws:  # else all of its logits overflowed there
        lost = estimated({"nll": damage.draws[place], "effect": damage.draws[place]}, damage.n, confidence)
        row |= {name: lost[name] for name in ("nll", "nll_low", "nll_high")}
    return row


def _share(place: Place, ratio: np.ndarray, confidence: float) -> dict[str, Any]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(ratio[1:], [tail, 1 - tail])
    found = {"retained": float(ratio[0]), "retained_low": float(low), "retained_high": float(high)}
    if place[2] == "drop":
        found |= {"removed": 1 - found["retained"], "removed_low": 1 - float(high), "removed_high": 1 - float(low)}
    return found


def _within(effect: Drawn, confidence: float) -> dict[Place, dict[str, float]]:
    """Return what subspaces of the writers keep of the writers' own effect; nothing where that is not told from 0."""
    writers = effect.draws.get(WRITERS_PLACE)
    if writers is None or not is_told(writers, effect.n, confidence):
        return {}
    chosen = {
        p: own for p, own in effect.draws.items() if p[0] in OF_BASES and p[2] != "drop" and p[3] == "coefficient"
    }
    ratios = {place: own / writers for place, own in chosen.items()}
    names = {"sure_low": "within_low", "sure_high": "within_high"}
    return {
        place: {"within": float(ratios[place][0]), **{names[name]: value for name, value in bounds.items()}}
        for place, bounds in _simultaneous(ratios, confidence).items()
    }


def is_told(draws: np.ndarray, n: int, confidence: float) -> bool:
    """Whether the interval of an effect excludes 0."""
    known = estimated({"effect": draws}, n, confidence)
    return (known["effect_low"] or 0.0) > 0 or (known["effect_high"] or 0.0) < 0


def _simultaneous(ratios: Draws, confidence: float) -> dict[Place, dict[str, float]]:
    families: dict[Place, list[Place]] = {}
    for place in ratios:
        families.setdefault((place[0], "", place[2], place[3]), []).append(place)
    found = {}
    for places in families.values():
        drawn_ = np.stack([ratios[place][1:] for place in places])
        centre = np.array([ratios[place][0] for place in places])
        spread = drawn_.std(axis=1, ddof=1)
        scale = np.where(spread > 0, spread, 1.0)[:, None]
        most = float(np.quantile((np.abs(drawn_ - centre[:, None]) / scale).max(axis=0), confidence))
        for place, middle, error in zip(places, centre, spread, strict=True):
            found[place] = {"sure_low": float(middle - most * error), "sure_high": float(middle + most * error)}
    return found


def _add_q(rows: Mapping[Place, dict[str, Any]]) -> None:
    for matching in dict.fromkeys(place[3] for place in rows):
        tested = [row for place, row in rows.items() if place[3] == matching and row["p"] is not None]
        for row, q in zip(tested, false_discovery_control([row["p"] for row in tested]) if tested else [], strict=True):
            row["q"] = float(q)
