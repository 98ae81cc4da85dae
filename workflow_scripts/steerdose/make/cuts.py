"""Ways to cut a trained weight delta into parts, each with what is left of it: keep + drop is the whole.

A way is one function, by the name that `by` has in the config. Some choose whole modules by where they lie or what they
do (`CHOOSING`); some crop every matrix's own spectrum (`CROPPING`), in units of its numerical rank, never of its width:
a matrix of rank 16 has 16 singular values to choose among, however wide it is. Shares of the width kept all of every
delta, and dropped rounding noise.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

import torch
from torch import Tensor

from steerdose.errors import SteerdoseError
from steerdose.steering.edit import Edit
from steerdose.steering.edits import Dense, LowRank, matrix
from steerdose.steering.steering import Steering

Placed = tuple[str, Edit]
Spectrum = tuple[Tensor, Tensor, Tensor]  # U (out, r), s (r,), Vh (r, in) in float64, s falling and above rounding

ROUNDING = 1e-6  # of the largest singular value: factors are stored in float32
WRITERS = frozenset({"o_proj", "down_proj", "c_proj", "dense", "dense_4h_to_h", "out_proj", "fc2", "fc_out"})
ATTENTION = re.compile(r"\.(self_attn|attn|attention|self_attention|linear_attn)\.")
THIRDS = ("early", "middle", "late")


class Whole:
    """A weight delta that is cut; every spectrum is computed once, from the factors where it has any."""

    def __init__(self, steering: Steering) -> None:
        self.edits = steering.edits
        self._spectra: dict[str, Spectrum] = {}

    @cached_property
    def layers(self) -> list[int]:
        """The numbers of the blocks that it changes, rising."""
        return sorted({int(layer_of(path)) for path, _ in self.edits})

    @cached_property
    def squared(self) -> float:
        """Its squared Frobenius norm."""
        return squared(self.edits)

    def spectrum(self, path: str) -> Spectrum:
        """Return the singular value decomposition of all that is added to one module's weight."""
        if path not in self._spectra:
            self._spectra[path] = _decomposed([edit for other, edit in self.edits if other == path])
        return self._spectra[path]


def _decomposed(edits: list[Edit]) -> Spectrum:
    if all(isinstance(edit, LowRank) for edit in edits):
        B = torch.cat([edit.tensors()["B"].double() for edit in edits], 1)
        A = torch.cat([edit.tensors()["A"].double() for edit in edits])
        Q_b, R_b = torch.linalg.qr(B)
        Q_a, R_a = torch.linalg.qr(A.T)
        U, s, Vh = torch.linalg.svd(R_b @ R_a.T)
        U, Vh = Q_b @ U, Vh @ Q_a.T
    else:
        U, s, Vh = torch.linalg.svd(torch.stack([matrix(edit) for edit in edits]).sum(0), full_matrices=False)
    rank = int((s > ROUNDING * s.max()).sum())
    return U[:, :rank], s[:rank], Vh[:rank]


def squared(edits: Iterable[Placed]) -> float:
    """Return the squared Frobenius norm of all edits, those of one module added up before."""
    sums: dict[str, Tensor] = {}
    for path, edit in edits:
        sums[path] = sums[path] + matrix(edit) if path in sums else matrix(edit)
    return float(sum(delta.square().sum() for delta in sums.values()))


def layer_of(path: str) -> str:
    """Return the number of the block that a module lies in."""
    found = [part for part in path.split(".") if part.isdecimal()]
    if not found:
        raise SteerdoseError(f"{path} lies in no block, so it has no layer; cut by module instead")
    return found[0]


def module_of(path: str) -> str:
    """Return the last part of a module's path."""
    return PurePosixPath(path.replace(".", "/")).name


# Ways to choose modules: the names of the parts that a module belongs to


def by_layer(whole: Whole, path: str) -> tuple[str, ...]:  # noqa: ARG001
    """Cut by the number of the block: is the behavior in few layers?"""
    return (layer_of(path),)


def by_module(whole: Whole, path: str) -> tuple[str, ...]:  # noqa: ARG001
    """Cut by the last part of the module's name, such as down_proj."""
    return (module_of(path),)


def by_third(whole: Whole, path: str) -> tuple[str, ...]:
    """Cut into the first, second and last third of the layers that the delta changes."""
    place = whole.layers.index(int(layer_of(path)))
    return (THIRDS[3 * place // len(whole.layers)],)


def by_role(whole: Whole, path: str) -> tuple[str, ...]:  # noqa: ARG001
    """Cut by what a module does: writers add to the residual stream, readers read it; attention and mlp."""
    return (
        "writers" if module_of(path) in WRITERS else "readers",
        "attention" if ATTENTION.search(f".{path}.") else "mlp",
    )


# Ways to crop a spectrum: which of the singular values (r,) a part keeps


def by_rank(s: Tensor, name: str) -> Tensor:
    """Keep the `name` largest singular values of every matrix: how many directions does the behavior need?"""
    return torch.arange(len(s)) < int(name)


def by_quartile(s: Tensor, name: str) -> Tensor:
    """Keep a quarter of the singular values, 1 the largest ones; is it the head or the tail that matters?"""
    return 4 * torch.arange(len(s)) // len(s) == int(name) - 1


def by_energy(s: Tensor, name: str) -> Tensor:
    """Keep the fewest largest singular values with at least `name` percent of a matrix's squared norm."""
    share = s.square().cumsum(0) / s.square().sum()
    return torch.cat([torch.zeros(1), share[:-1]]) < int(name) / 100 - 1e-12


CHOOSING: dict[str, Callable[[Whole, str], tuple[str, ...]]] = {
    "layer": by_layer,
    "module": by_module,
    "third": by_third,
    "role": by_role,
}
CROPPING: dict[str, Callable[[Tensor, str], Tensor]] = {"rank": by_rank, "quartile": by_quartile, "energy": by_energy}


@dataclass(frozen=True)
class Part:
    """One part of a delta.

    kept: its edits. energy: its share of the delta's squared norm. error: of keep + drop against the whole, relative.
    """

    name: str
    kept: tuple[Placed, ...]
    energy: float
    error: float


def cut(whole: Whole, by: str, name: str, drop: bool) -> Part:
    """Return the part `name`, or with `drop` all but it. Raises SteerdoseError for one that is not there or empty."""
    sides = _chosen(whole, by, name) if by in CHOOSING else _cropped(whole, CROPPING[by], name)
    own, other = reversed(sides) if drop else sides
    if not own:
        most = max(len(whole.spectrum(path)[1]) for path, _ in whole.edits)
        left = "nothing is left without" if drop else "nothing is in"
        raise SteerdoseError(f"{left} {by} {name}: its matrices have {most} singular values at most")
    return Part(name, own, squared(own) / whole.squared, (_missed(whole, (*own, *other)) / whole.squared) ** 0.5)


def _missed(whole: Whole, both: tuple[Placed, ...]) -> float:
    """Return the squared norm of what both sides together miss of the whole."""
    if {id(edit) for _, edit in both} == {id(edit) for _, edit in whole.edits}:
        return 0.0
    return squared([*whole.edits, *((path, _opposite(edit)) for path, edit in both)])


def _opposite(edit: Edit) -> Edit:
    return LowRank(A=edit.A, B=-edit.B) if isinstance(edit, LowRank) else Dense(-matrix(edit).float())


def _chosen(whole: Whole, by: str, name: str) -> tuple[tuple[Placed, ...], tuple[Placed, ...]]:
    names = [CHOOSING[by](whole, path) for path, _ in whole.edits]
    if not any(name in own for own in names):
        there = list(dict.fromkeys(each for own in names for each in own))
        raise SteerdoseError(f"it has no {by} {name}; it has {there}")
    pairs = list(zip(whole.edits, names, strict=True))
    inside, outside = (tuple(edit for edit, own in pairs if (name in own) == side) for side in (True, False))
    return inside, outside


def _cropped(
    whole: Whole, keeps: Callable[[Tensor, str], Tensor], name: str
) -> tuple[tuple[Placed, ...], tuple[Placed, ...]]:
    sides: tuple[list[Placed], list[Placed]] = ([], [])
    for path in dict.fromkeys(path for path, _ in whole.edits):
        U, s, Vh = whole.spectrum(path)
        mask = keeps(s, name)
        for side, chosen in zip(sides, (mask, ~mask), strict=True):
            if chosen.any():
                B = (U[:, chosen] * s[chosen]).float().contiguous()
                side.append((path, LowRank(A=Vh[chosen].float().contiguous(), B=B)))
    return tuple(sides[0]), tuple(sides[1])
