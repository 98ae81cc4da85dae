"""A hypothesis over all blocks that a delta edits: its mean recovery, and whether chance would do as much."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import false_discovery_control

from steerdose.seeds import seed_from
from steerdose.subspaces.labels import Labels
from steerdose.subspaces.registry import MODEL
from steerdose.subspaces.scores import chance_draws, chance_variance, excess, mean_of

DRAWS = 1999  # of random bases: the smallest p is 1 in 2000, of 43 hypotheses the smallest q 0.02 and less


class Chance:
    """What random bases recover in the mean over blocks: one a block, or one and the same for all of them."""

    def __init__(self, labels: Labels, blocks: Sequence[int], draws: int = DRAWS) -> None:
        self._labels, self._blocks, self._draws = labels, blocks, draws
        self._known: dict[tuple[str, int, str], tuple[float, np.ndarray]] = {}

    def of(self, target: str, width: int, scope: str) -> tuple[float, np.ndarray]:
        """Return the exact standard deviation of the mean, and draws of it."""
        key = (target, width, scope)
        if key not in self._known:
            own = [each[target] for each in (self._labels.factors[i] for i in self._blocks) if target in each]
            rng = np.random.default_rng(seed_from("chance", *key))
            labels = [mean_of(own)] if scope == MODEL else own  # one basis meets the mean of all labels
            space, n = self._labels.space(target), len(labels)
            variance = sum(chance_variance(each, width, space) for each in labels) / n**2
            drawn = sum((chance_draws(each, width, self._draws, rng, space) for each in labels), np.zeros(self._draws))
            self._known[key] = variance**0.5, drawn / n
        return self._known[key]


def summarised(
    rows: Iterable[Mapping[str, Any]], chance: Chance, scopes: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield a row a hypothesis, target and width, the mean over blocks of what `swept` has. scopes: of hypotheses.

    p: share of random bases that recover as much; null where beside clean directions less is left than the width. q:
    the same, corrected over the hypotheses of one target and width (Benjamini and Hochberg 1995). z is a unit, no
    probability: where a label has few directions chance is skewed.
    """
    groups: dict[tuple[str, int, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row.get("best") is not None:
            groups.setdefault((row["target"], row["width"], row["subspace"]), []).append(row)
    tests: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for (target, width, name), own in groups.items():
        sd, drawn = chance.of(target, width, scopes[name])
        R, best = (float(np.mean([each[key] for each in own])) for key in ("recovery", "best"))
        told = {"subspace": name, "family": own[0]["family"], "axis": own[0]["axis"], "target": target, "width": width}
        found = {"blocks": len(own), "recovery": R, "best": best, "excess": excess(R, best), "chance_sd": sd}
        whole = all(each.get("width_left") in (None, width) for each in own)  # chance is of bases of this width
        p = float((1 + (drawn >= R).sum()) / (1 + len(drawn))) if whole else None
        tests.setdefault((target, width), []).append({**told, **found, "z": (R - 1) / sd if sd else None, "p": p})
    for family in tests.values():
        known = [row for row in family if row["p"] is not None]
        for row, q in zip(known, false_discovery_control([row["p"] for row in known]) if known else (), strict=True):
            row["q"] = float(q)
        yield from family
