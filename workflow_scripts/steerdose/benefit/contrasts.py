"""Does one method buy more than another? Each at its own recommended dose, on the same items, over all seeds.

What is compared is what a user gets who takes the recommendation: at the recommended dose of each seed's steering, or
nothing, a change of 0, where none is recommended. A prompt has the dose of its sign.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import binom, false_discovery_control

from steerdose.benefit.effects import Sums, estimated, resampled
from steerdose.columns import SIGNS
from steerdose.errors import SteerdoseError
from steerdose.seeds import seed_from

NOTHING = ""  # what a method's own effect is compared with


@dataclass(frozen=True)
class Seeds:
    """What one method buys of one sign, on so many clusters of items.

    drawn: (seeds, 1 + draws), effects toward the sign; the first column as estimated.
    """

    drawn: np.ndarray
    n_clusters: int

    @property
    def each(self) -> np.ndarray:
        return self.drawn[:, 0]

    def pooled(self, picks: np.ndarray) -> np.ndarray:
        """Return the mean over seeds, (1 + draws,). picks: (draws, seeds), which seeds each resample draws."""
        drawn = np.take_along_axis(self.drawn[:, 1:], picks.T, axis=0)
        return np.concatenate([[self.each.mean()], drawn.mean(0)])


def bought(
    cells: Sequence[Mapping[str, Mapping[float, Sums]]], doses: Sequence[Mapping[str, float]], sign: str
) -> dict[str, Seeds]:
    """Return what every method buys. cells: sums by method and alpha, a seed each. doses: recommended alphas, likewise.

    Raises SteerdoseError where seeds were not asked the same items.
    """
    sizes = {sums.n_clusters for cell in cells for own in cell.values() for sums in own.values()}
    if len(sizes) != 1:
        raise SteerdoseError(f"scores: expected the same items in all seeds, found {sorted(sizes)}; rerun score_task")
    n_clusters = sizes.pop()
    weights, found = resampled(n_clusters), {}
    for method in cells[0]:
        rows = []
        for cell, chosen in zip(cells, doses, strict=True):
            sums = cell[method].get(chosen.get(method, 0.0))
            rows.append(SIGNS[sign] * sums.estimates(weights)["effect"] if sums else np.zeros(len(weights)))
        found[method] = Seeds(np.stack(rows), n_clusters)
    return found


def contrasts(
    methods: Mapping[str, Seeds], compared: Mapping[str, Sequence[str]], confidence: float
) -> list[dict[str, Any]]:
    """Return a row a method against nothing, and a row a pair of every named set, see the table `contrasts`.

    All resample the same items and the same seeds together. q corrects within one call (Benjamini and Hochberg).
    """
    first = next(iter(methods.values()))
    n_seeds, draws = first.drawn.shape[0], first.drawn.shape[1] - 1
    picks = np.random.default_rng(seed_from("contrasts", n_seeds)).integers(n_seeds, size=(draws, n_seeds))
    rows = []
    for one, other in _pairs(methods, compared):
        change = Seeds(methods[one].drawn - (methods[other].drawn if other else 0), first.n_clusters)
        row = {"method": one, "against": other, "seeds": n_seeds, "n": first.n_clusters}
        row |= estimated({"effect": change.pooled(picks)}, first.n_clusters, confidence)
        rows.append(row | {"q": None} | _agreement(change.each))
    known = [row for row in rows if row["p"] is not None]
    for row, q in zip(known, false_discovery_control([row["p"] for row in known]) if known else [], strict=True):
        row["q"] = float(q)
    return rows


def _pairs(methods: Mapping[str, Seeds], compared: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    yield from ((name, NOTHING) for name in methods)
    pairs = (pair for names in compared.values() for pair in combinations([n for n in names if n in methods], 2))
    yield from dict.fromkeys(pairs)


def _agreement(each: np.ndarray) -> dict[str, Any]:
    """Return in how many seeds the change has the commoner sign, and how probable as many are of n coins."""
    most = int(max((each > 0).sum(), (each < 0).sum()))
    n = len(each)
    return {"agreeing": most, "by_chance": min(1.0, float(2 * binom.sf(most - 1, n, 0.5)))}
