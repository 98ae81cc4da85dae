"""Every way to cut a weight delta, by the name that `by` has in the config; `cut` makes one part.

Of a way that has complements keep + drop is the whole delta, exactly. A new way is one function in one of the modules
beside this one, and its name in `study.parts.By`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from steerdose.cuts import controls, modules, projections, spectra
from steerdose.cuts.whole import Placed, Whole, less, module_of, squared
from steerdose.errors import SteerdoseError
from steerdose.steering.edit import Edit
from steerdose.steering.edits import Dense, LowRank
from steerdose.study.parts import KNOWN, OF_SUBSPACES

ENERGIES = (50, 75, 90)  # percent
MOST_RANKS = 64
NOTHING = 1e-7  # of a module's delta: what lies in a subspace by rounding alone
Sides = tuple[list[Placed], list[Placed]]  # a part, and what is left without it

CHOOSING: dict[str, Callable[[Whole, str], tuple[str, ...]]] = {
    each.__name__: each for each in (modules.layer, modules.module, modules.third, modules.role)
}
CROPPING: dict[str, Callable[[Tensor, str], Tensor]] = {
    each.__name__: each for each in (spectra.rank, spectra.quartile, spectra.energy)
}
PROJECTING: dict[str, Callable[[Whole, str, str], Edit | None]] = {
    each.__name__: each
    for each in (
        projections.base, projections.shared, projections.others, projections.top, projections.tail,
        projections.random_basis, projections.subspace,
    )
}  # fmt: skip
FORMS: dict[str, Callable[[Whole, str], Tensor]] = {
    each.__name__: each for each in (projections.rows, projections.columns, projections.rotation)
}
CONTROLS: dict[str, Callable[[Whole, str], list[Placed]]] = {
    each.__name__: each
    for each in (controls.random, controls.random_overall, controls.random_module, controls.directions)
}


@dataclass(frozen=True)
class Part:
    """One part of a delta.

    kept: its edits. energy: its squared norm over the delta's. error: of keep + drop against the whole, relative.
    """

    name: str
    kept: tuple[Placed, ...]
    energy: float
    error: float


def hypothesis(by: str) -> str:
    """Return what a way to cut tests, in a sentence."""
    if by == "form":
        return "The behavior is a change that one parameterisation alone can make."
    found = next(table[by] for table in (CHOOSING, CROPPING, PROJECTING, CONTROLS) if by in table)
    return (found.__doc__ or "").strip().splitlines()[0]


def cut(whole: Whole, by: str, name: str, drop: bool) -> Part:
    """Return the part `name`, or with `drop` all but it. Raises SteerdoseError for one that is not there or empty."""
    if drop and by in CONTROLS:
        raise SteerdoseError(f"{by} is no part of the delta, so nothing is left without it; remove drop")
    keep, rest = both(whole, by, name)
    if part := rest if drop else keep:
        return part
    left = "nothing is left without" if drop else "nothing is in"
    raise SteerdoseError(f"{left} {by} {name}: its matrices have {whole.rank} singular values at most")


def both(whole: Whole, by: str, name: str) -> tuple[Part | None, Part | None]:
    """Return the part `name` and all but it; None for one that is empty, and for what is left without a control.

    Raises SteerdoseError for a name that is not there.
    """
    sides = sides_of(whole, by, name)
    error = 0.0 if by in CONTROLS else (missed(whole, sides) / whole.squared) ** 0.5
    keep, rest = (Part(name, tuple(each), squared(each) / whole.squared, error) if each else None for each in sides)
    return keep, rest


def names_of(whole: Whole, by: str, widths: Sequence[int], draws: int) -> list[str]:
    """Return the parts that a way makes of a delta. widths: of bases; draws: of random copies.

    Ranks are powers of 2, up to `MOST_RANKS` and below the delta's own.
    """
    modules_there = list(dict.fromkeys(module_of(path) for path, _ in whole.edits))
    if by == "rank":
        return [str(2**i) for i in range(MOST_RANKS.bit_length()) if 2**i < whole.rank]
    if by in OF_SUBSPACES:
        kinds = [
            *dict.fromkeys(each.rpartition(".")[0] for each in whole.bases),
            "own",
            *(f"random{i}" for i in range(draws)),
        ]
        return ["written", *(f"{kind}-{width}" for kind in kinds for width in widths)]
    made: dict[str, Iterable[object]] = {
        **{"layer": whole.layers, "module": modules_there, "random_module": modules_there, "energy": ENERGIES},
        **dict.fromkeys(("random", "random_overall"), range(draws)),
    }
    return [str(each) for each in (KNOWN.get(by) or made.get(by) or widths)]


def sides_of(whole: Whole, by: str, name: str) -> Sides:
    """Return the part `name` and what is left without it; of a control nothing is."""
    if by in CONTROLS:
        return CONTROLS[by](whole, name), []
    if by in CHOOSING:
        return _chosen(whole, by, name)
    if by in CROPPING:
        return _cropped(whole, CROPPING[by], name)
    return _projected(whole, by, name)


def missed(whole: Whole, sides: Sides) -> float:
    """Return the squared norm of what both sides together miss of the whole."""
    total = 0.0
    for path, edit in whole.edits:
        parts = [each for side in sides for other, each in side if other == path]
        if any(each is not edit for each in parts) or not parts:
            rest = edit
            for each in parts:
                rest = less(rest, each)
            total += (rest.norm() or 0.0) ** 2
    return total


def _chosen(whole: Whole, by: str, name: str) -> Sides:
    names = [CHOOSING[by](whole, path) for path, _ in whole.edits]
    if not any(name in own for own in names):
        there = list(dict.fromkeys(each for own in names for each in own))
        raise SteerdoseError(f"it has no {by} {name}; it has {there}")
    pairs = list(zip(whole.edits, names, strict=True))
    inside, outside = ([edit for edit, own in pairs if (name in own) == side] for side in (True, False))
    return inside, outside


def _cropped(whole: Whole, keeps: Callable[[Tensor, str], Tensor], name: str) -> Sides:
    sides: Sides = ([], [])
    for path, _ in whole.edits:
        U, s, Vh = whole.spectrum(path)
        mask = keeps(s, name)
        for side, chosen in zip(sides, (mask, ~mask), strict=True):
            if chosen.any():
                side.append((path, _product(U[:, chosen] * s[chosen], Vh[chosen])))
    return sides


def _product(B: Tensor, A: Tensor) -> Edit:
    """Return B A as factors where they are smaller, else whole."""
    if A.numel() + B.numel() < B.shape[0] * A.shape[1]:
        return LowRank(A=A.float().contiguous(), B=B.float().contiguous())
    return Dense((B @ A).float())


def _projected(whole: Whole, by: str, name: str) -> Sides:
    """Return what of every module lies in a subspace, and the rest."""
    sides: Sides = ([], [])
    for path, edit in whole.edits:
        inside = Dense(FORMS[name](whole, path).float()) if by == "form" else PROJECTING[by](whole, path, name)
        pairs = ((sides[0], inside), (sides[1], edit if inside is None else less(edit, inside)))
        for side, part in pairs:
            if part is not None and (part.norm() or 0.0) > NOTHING * (edit.norm() or 0.0):
                side.append((path, part))
    return sides
