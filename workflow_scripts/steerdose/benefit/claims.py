"""What a study may claim, by rules that were set beforehand: each a sentence with its numbers, or that it is undecided.

Prompting that does as much is the simpler means; activation steering that does as much leaves weight steering to find
another reason; what a random push buys too is no property of a direction; and an order of adapter families is published
only where every step of it is decided and holds in every one of several seeds, and in every model.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Row = Mapping[str, Any]  # of the table of contrasts
Claim = dict[str, str]
WEIGHTS = "adapter"
ORDER, NO_ORDER = "order of families", "no order"


@dataclass(frozen=True)
class Rule:
    """A duel of the best method of some groups against the best of another. verdicts: won, lost, undecided."""

    name: str
    champions: tuple[str, ...]
    rival: str
    verdicts: tuple[str, str, str]


RULES = (
    Rule("weights against prompts", (WEIGHTS,), "prompt",
         ("weights beat the prompt", "the prompt beats weights", "prompting is the simpler means")),
    Rule("activations against prompts", ("activation",), "prompt",
         ("activations beat the prompt", "the prompt beats activations", "prompting is the simpler means")),
    Rule("imports against prompts", ("import",), "prompt",
         ("the import beats the prompt", "the prompt beats the import", "prompting is the simpler means")),
    Rule("weights against activations", (WEIGHTS,), "activation",
         ("weights beat activations", "activations beat weights", "activations match weights")),
    Rule("the best steering against a random push", (WEIGHTS, "activation", "import"), "control",
         ("more than a random push", "less than a random push", "no more than a random push")),
)  # fmt: skip


def claims(rows: Sequence[Row], groups: Mapping[str, str], size: float) -> list[Claim]:
    """Return a claim a rule. rows: contrasts of one model, behavior and sign. groups: of each method.

    size: of an error that is accepted in each; a difference is decided where its interval excludes 0 and its q is not
    above this. The best is the best by estimate, so that the differences of champions are flattered.
    """
    own = {row["method"]: row for row in rows if not row["against"]}
    pairs = {(row["method"], row["against"]): row for row in rows if row["against"]}
    found = []
    for rule in RULES:
        champion, rival = (_best(own, groups, chosen) for chosen in (rule.champions, (rule.rival,)))
        if champion and rival and (row := difference(champion, rival, pairs)):
            silent = own[champion]["effect"] == own[rival]["effect"] == 0
            found.append(_silence(rule, champion, rival) if silent else _duel(rule, champion, rival, row, size))
    families = sorted((name for name in own if groups[name] == WEIGHTS), key=lambda name: -own[name]["effect"])
    steps = [(one, other, difference(one, other, pairs)) for one, other in pairwise(families)]
    if steps and all(row for _, _, row in steps):
        found.append(_order(families, steps, size))
    return found


def _best(own: Mapping[str, Row], groups: Mapping[str, str], chosen: Sequence[str]) -> str:
    """Return the method of these groups with the largest effect, "" where there is none."""
    return max((name for name in own if groups[name] in chosen), key=lambda name: own[name]["effect"], default="")


def difference(one: str, other: str, pairs: Mapping[tuple[str, str], Row]) -> Row:
    """Return by how much `one` exceeds `other`, whichever way round their pair was taken; empty if it was not."""
    if (one, other) in pairs or (other, one) not in pairs:
        return pairs.get((one, other), {})
    return turned(pairs[other, one])


def turned(row: Row) -> Row:
    """Return a difference seen from the other method."""
    return {**row, "effect": -row["effect"], "effect_low": -row["effect_high"], "effect_high": -row["effect_low"]}


def decided(row: Row, size: float) -> int:
    """Return 1 or -1 where the sign of a difference is decided, else 0."""
    if row["q"] is None or row["q"] > size:
        return 0
    return int(row["effect_low"] > 0) - int(row["effect_high"] < 0)


def _silence(rule: Rule, champion: str, rival: str) -> Claim:
    """Return what there is to say where no dose of either is recommended."""
    sentence = f"Neither {champion} nor {rival} has a safe dose with an effect that is shown."
    return {"rule": rule.name, "verdict": "neither buys anything", "sentence": sentence}


def _duel(rule: Rule, champion: str, rival: str, row: Row, size: float) -> Claim:
    outcome = decided(row, size)
    start = {
        1: f"{champion} buys more than {rival}",
        -1: f"{rival} buys more than {champion}",
        0: f"{champion} is not shown to buy more than {rival}",
    }[outcome]
    verdict = rule.verdicts[{1: 0, -1: 1, 0: 2}[outcome]]
    shown = turned(row) if outcome < 0 else row
    return {"rule": rule.name, "verdict": verdict, "sentence": f"{start}: {told(shown)}."}


def _order(families: Sequence[str], steps: Sequence[tuple[str, str, Row]], size: float) -> Claim:
    """Return the order of families, if it may be published."""
    order = " > ".join(families)
    undecided = [f"{one} and {other} ({told(row)})" for one, other, row in steps if decided(row, size) != 1]
    if undecided:
        why = f"not decided between {'; '.join(undecided)}"
    elif steps[0][2]["seeds"] == 1:
        why = f"one seed alone says {order}"
    elif any(row["agreeing"] < row["seeds"] for _, _, row in steps):
        why = f"{order} does not hold in every seed"
    else:
        return {"rule": ORDER, "verdict": order, "sentence": f"{order}: every step is decided and holds in every seed."}
    return {"rule": ORDER, "verdict": NO_ORDER, "sentence": f"No order of families is published: {why}."}


def told(row: Row) -> str:
    """Return a difference with its numbers."""
    text = f"difference {row['effect']:.3g} ({row['effect_low']:.3g} to {row['effect_high']:.3g})"
    text += "" if row["q"] is None else f", q {row['q']:.2g}"
    if row["seeds"] > 1:
        text += f", {row['agreeing']} of {row['seeds']} seeds agree (by chance {row['by_chance']:.0%})"
    return text


def between_models(orders: Mapping[str, str]) -> Iterator[Claim]:
    """Yield whether an order of families holds in every model. orders: the verdict on it, by model."""
    if len(orders) > 1:
        same = len(set(orders.values())) == 1 and NO_ORDER not in orders.values()
        verdict = "the same in every model" if same else "no order over models"
        said = "; ".join(f"{model}: {order}" for model, order in orders.items())
        yield {"rule": f"{ORDER} between models", "verdict": verdict, "sentence": f"{said}."}
