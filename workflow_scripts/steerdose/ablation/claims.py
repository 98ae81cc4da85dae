"""What may be said of where a delta's effect is, by rules that were set beforehand.

Enough is a part that alone keeps `KEEPS` of the effect, necessary one without which no more than `LOSES` is left; both
by bounds that hold for all parts of a way at once. All at the whole's own coefficient: at equal KL a part that is one
seventh of an evenly spread delta does as much as the whole, and nothing could be told apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

KEEPS, LOSES = 0.7, 0.3
BOUNDS = {"retained": ("sure_low", "sure_high"), "within": ("within_low", "within_high")}
Row = Mapping[str, Any]  # of the table of ablations
Pairs = Mapping[str, Mapping[str, Row]]  # a part's row by side
Claim = dict[str, str]
LOCALISED, SHARED, NEGATIVE, TWICE, SPREAD, UNDECIDED, NOTHING = (
    "localised", "in the subspace", "not in the subspace", "non-identifiable", "distributed", "undecided",
    "no effect",
)  # fmt: skip
SLICES = {  # ways whose parts do not overlap, with what they are called; None: all parts
    "layers": ("layer", None),
    "thirds of the layers": ("third", None),
    "modules": ("module", None),
    "writers and readers": ("role", ("writers", "readers")),
    "attention and MLP": ("role", ("attention", "mlp")),
    "quartiles of the spectrum": ("quartile", None),
}
SUBSPACES = {
    "directions that all families write": "shared",
    "directions that the other families write": "others",
    "its own leading directions": "top",
    "its own last directions": "tail",
    "leading directions of the base weights": "base",
}


def claims(rows: Sequence[Row], seeds: int) -> Iterator[Claim]:
    """Yield a claim a question. rows: of one method, all seeds pooled, at the whole's coefficient."""
    parts: dict[str, dict[str, dict[str, Row]]] = {}
    for row in rows:
        parts.setdefault(row["way"], {}).setdefault(row["part"], {})[row["side"]] = row
    whole = parts["whole"]["whole"]["keep"]
    if whole["retained"] is None:
        yield {
            "question": "the whole", "verdict": NOTHING,
            "sentence": f"The whole delta has no effect that is told from 0 ({_interval(whole, 'effect')}), so there "
            "is nothing to find a place for.",
        }  # fmt: skip
        return
    for question, (way, names) in SLICES.items():
        there = {name: both for name, both in parts.get(way, {}).items() if _both(both) and name in (names or (name,))}
        if len(there) > 1:
            yield _claim(question, *of_slices(there), seeds)
    for question, way in SUBSPACES.items():
        yield from _of_width(question, parts.get(way, {}), parts.get("random_basis", {}), way, seeds)
    if ranks := {name: both["keep"] for name, both in parts.get("rank", {}).items() if _known(both.get("keep"))}:
        yield _claim("rank", *of_ranks(ranks), seeds)
    if copies := [both["keep"] for both in parts.get("random", {}).values() if _known(both.get("keep"))]:
        yield _claim("a random push of the same norms", *of_random(copies), seeds)


def _claim(question: str, verdict: str, sentence: str, seeds: int) -> Claim:
    alone = "" if seeds > 1 else " One seed alone says so: no claim."
    return {"question": question, "verdict": verdict, "sentence": sentence + alone}


def _of_width(question: str, parts: Pairs, random: Pairs, way: str, seeds: int) -> Iterator[Claim]:
    """Yield the claim about the widest basis of a way; of one that only what writes has, against all that writes."""
    name, outside = ("retained", "drop") if way == "base" else ("within", "rest")
    there = [
        part for part, sides in parts.items() if _known(sides.get("keep"), name) and _known(sides.get(outside), name)
    ]
    if there:
        widest = max(there, key=int)
        rival = random.get(widest, {}).get("keep") if way != "base" else None
        sides = parts[widest]
        yield _claim(f"{question} ({widest})", *of_subspace(sides["keep"], sides[outside], rival, name), seeds)


def _known(row: Row | None, name: str = "retained") -> bool:
    return row is not None and row[BOUNDS[name][0]] is not None


def _both(sides: Mapping[str, Row]) -> bool:
    return _known(sides.get("keep")) and _known(sides.get("drop"))


def enough(row: Row, name: str = "retained") -> bool:
    """Whether what was read keeps the effect."""
    return bool(row[BOUNDS[name][0]] >= KEEPS)


def gone(row: Row, name: str = "retained") -> bool:
    """Whether under what was read the effect is gone."""
    return bool(row[BOUNDS[name][1]] <= LOSES)


def of_slices(parts: Pairs) -> tuple[str, str]:
    """Return the verdict on parts that do not overlap and make up the whole, and its sentence."""
    alone = [name for name, both in parts.items() if enough(both["keep"])]
    needed = [name for name, both in parts.items() if gone(both["drop"])]
    spare = [name for name in alone if enough(parts[name]["drop"])]
    if len(alone) > 1 or spare:
        return TWICE, f"Each alone is enough, and nothing needs it: {_told(parts, alone, 'keep')}."
    if both := [name for name in alone if name in needed]:
        name = both[0]
        return f"{LOCALISED} in {name}", (
            f"{name} alone keeps {_interval(parts[name]['keep'])}, and without it {_interval(parts[name]['drop'])} "
            "are left."
        )
    if all(both["keep"]["sure_high"] < KEEPS and both["drop"]["sure_low"] > LOSES for both in parts.values()):
        best = max(parts, key=lambda name: parts[name]["keep"]["retained"])
        return SPREAD, (
            f"None of {len(parts)} is enough, and none is necessary; the best alone, {best}, keeps "
            f"{_interval(parts[best]['keep'])}."
        )
    best = max(parts, key=lambda name: parts[name]["keep"]["retained"])
    return UNDECIDED, (
        f"The best alone, {best}, keeps {_interval(parts[best]['keep'])}; without it "
        f"{_interval(parts[best]['drop'])} are left."
    )


def of_subspace(inside: Row, outside: Row, rival: Row | None, name: str) -> tuple[str, str]:
    """Return the verdict on a subspace, by what is kept in it and what is left outside. rival: a random one as wide."""
    told = f"Inside it {_interval(inside, name)} are kept, outside {_interval(outside, name)}"
    told += f"; a random one as wide keeps {_interval(rival, name)}" if rival and _known(rival, name) else ""
    told += ", of the effect of all that writes to the residual stream." if name == "within" else "."
    if enough(inside, name) and enough(outside, name):
        return TWICE, told
    if enough(inside, name) and gone(outside, name):
        return SHARED, told
    if gone(inside, name) and enough(outside, name):
        return NEGATIVE, told
    return UNDECIDED, told


def of_ranks(rows: Mapping[str, Row]) -> tuple[str, str]:
    """Return of how few directions a matrix it is known that they are enough."""
    known = sorted((name for name in rows if enough(rows[name])), key=int)
    if known:
        return f"rank {known[0]} is enough", f"Of every matrix {known[0]} directions keep {_interval(rows[known[0]])}."
    most = max(rows, key=int)
    return UNDECIDED, f"Of every matrix {most} directions keep {_interval(rows[most])}."


def of_random(rows: Sequence[Row]) -> tuple[str, str]:
    """Return whether random copies have the effect too."""
    middle = sum(row["retained"] for row in rows) / len(rows)
    low, high = min(row["retained"] for row in rows), max(row["retained"] for row in rows)
    told = f"{len(rows)} random deltas have {middle:.0%} of the effect on average ({low:.0%} to {high:.0%})."
    if high < LOSES:
        return "the directions matter", told
    return ("any push does it" if low > KEEPS else UNDECIDED), told


def _interval(row: Row, name: str = "retained") -> str:
    if name in BOUNDS:
        low, high = BOUNDS[name]
        return f"{row[name]:.0%} ({row[low]:.0%} to {row[high]:.0%})"
    return f"{row[name]:.3g}, {row[f'{name}_low']:.3g} to {row[f'{name}_high']:.3g}"


def _told(parts: Pairs, names: Sequence[str], side: str) -> str:
    return ", ".join(f"{name} {_interval(parts[name][side])}" for name in names)
