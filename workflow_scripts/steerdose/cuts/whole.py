"""A weight delta that is cut: its edits, spectra, norms, and what the cuts need beside it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

import torch
from torch import Tensor

from steerdose.errors import SteerdoseError
from steerdose.model.linear import adds_to_residual
from steerdose.steering.edit import Edit
from steerdose.steering.edits import Add, Dense, LowRank, matrix
from steerdose.steering.steering import Steering

Placed = tuple[str, Edit]
Spectrum = tuple[Tensor, Tensor, Tensor]  # U (out, r), s (r,), Vh (r, in) in float64, s falling and above rounding
Bases = Mapping[str, Tensor]  # {kind}.{layer}: orthonormal columns (width, K), the leading ones first

ROUNDING = 1e-6  # of the largest singular value: factors are stored in float32
ATTENTION = re.compile(r"\.(self_attn|attn|attention|self_attention|linear_attn)\.")


@dataclass
class Whole:
    """A weight delta that is cut, with at most one edit a module.

    method: whose it is. weights: the base model's, (out, in) by module path; bases: shared ones, see `make.bases`; both
    empty where no way to cut needs them. draw: what random controls are seeded by, beside their own number. Every
    spectrum is computed once, from the factors where it has any.
    """

    edits: tuple[Placed, ...]
    method: str = ""
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    bases: Bases = field(default_factory=dict)
    draw: tuple[str | int, ...] = ()
    _spectra: dict[str, Spectrum] = field(default_factory=dict)
    _base_spectra: dict[str, Spectrum] = field(default_factory=dict)

    def __post_init__(self) -> None:
        paths = [path for path, _ in self.edits]
        grouped = {path: [edit for other, edit in self.edits if other == path] for path in dict.fromkeys(paths)}
        self.edits = tuple((path, added(edits)) for path, edits in grouped.items())

    @cached_property
    def by_path(self) -> dict[str, Edit]:
        return dict(self.edits)

    @cached_property
    def layers(self) -> list[int]:
        """The numbers of the blocks that it changes, rising."""
        return sorted({int(layer_of(path)) for path, _ in self.edits})

    @cached_property
    def squared(self) -> float:
        """Its squared Frobenius norm."""
        return squared(self.edits)

    @cached_property
    def written(self) -> dict[int, Tensor]:
        """By layer U s, (width, directions), of all that its writers write there, of norm 1."""
        parts: dict[int, list[Tensor]] = {}
        for path, _ in self.edits:
            if is_writer(path):
                U, s, _ = self.spectrum(path)
                parts.setdefault(int(layer_of(path)), []).append(U * s)
        return {layer: led(torch.cat(each, 1) / torch.cat(each, 1).norm()) for layer, each in parts.items()}

    @property
    def rank(self) -> int:
        """The largest numerical rank of its matrices."""
        return max(len(self.spectrum(path)[1]) for path, _ in self.edits)

    def spectrum(self, path: str) -> Spectrum:
        """Return the singular value decomposition of what is added to one module's weight."""
        if path not in self._spectra:
            self._spectra[path] = decomposed(self.by_path[path])
        return self._spectra[path]

    def base_spectrum(self, path: str) -> Spectrum:
        """Return the singular value decomposition of one module's own weight."""
        if path not in self._base_spectra:
            self._base_spectra[path] = torch.linalg.svd(self.weights[path].float(), full_matrices=False)
        return self._base_spectra[path]


def added(edits: list[Edit]) -> Edit:
    """Return the sum of weight deltas, or of added directions, of one module."""
    if len(edits) == 1:
        return edits[0]
    if all(isinstance(edit, Add) for edit in edits):
        return Add(torch.stack([edit.tensors()["v"] for edit in edits]).sum(0))
    if all(isinstance(edit, LowRank) for edit in edits):
        parts = [edit.tensors() for edit in edits]
        return LowRank(A=torch.cat([part["A"] for part in parts]), B=torch.cat([part["B"] for part in parts], 1))
    return Dense(torch.stack([matrix(edit) for edit in edits]).sum(0).float())


def less(edit: Edit, part: Edit) -> Edit:
    """Return an edit without a part of it, from the factors where both have any that together are smaller."""
    if isinstance(edit, Add) and isinstance(part, Add):
        return Add(edit.v - part.v)
    if isinstance(edit, LowRank) and isinstance(part, LowRank):
        B, A = torch.cat([edit.B, -part.B], 1), torch.cat([edit.A, part.A])
        if A.numel() + B.numel() < B.shape[0] * A.shape[1]:
            return LowRank(A=A, B=B)
    return Dense((matrix(edit) - matrix(part)).float())


def decomposed(edit: Edit) -> Spectrum:
    """Return U, s and Vh of a weight delta, without the singular values that are rounding."""
    if isinstance(edit, LowRank):
        Q_b, R_b = torch.linalg.qr(edit.B.double())
        Q_a, R_a = torch.linalg.qr(edit.A.double().T)
        U, s, Vh = torch.linalg.svd(R_b @ R_a.T)
        U, Vh = Q_b @ U, Vh @ Q_a.T
    else:
        U, s, Vh = torch.linalg.svd(matrix(edit), full_matrices=False)
    rank = int((s > ROUNDING * s.max()).sum())
    return U[:, :rank], s[:rank], Vh[:rank]


def led(M: Tensor) -> Tensor:
    """Return U s of a matrix, without directions that are rounding."""
    U, s, _ = torch.linalg.svd(M, full_matrices=False)
    kept = s > ROUNDING * s.max()
    return U[:, kept] * s[kept]


def unit(M: Tensor) -> Tensor:
    """Return columns, each scaled to length 1."""
    return M / M.norm(dim=0, keepdim=True)


def squared(edits: Iterable[Placed]) -> float:
    """Return the squared Frobenius norm of weight deltas, one a module."""
    return float(sum((edit.norm() or 0.0) ** 2 for _, edit in edits))


def layer_of(path: str) -> str:
    """Return the number of the block that a module lies in."""
    found = [part for part in path.split(".") if part.isdecimal()]
    if not found:
        raise SteerdoseError(f"{path} lies in no block, so it has no layer; cut by module instead")
    return found[0]


def module_of(path: str) -> str:
    """Return the last part of a module's path."""
    return PurePosixPath(path.replace(".", "/")).name


def is_writer(path: str) -> bool:
    """Whether what a module puts out is added to the residual stream, or is the stream: a block's."""
    return adds_to_residual(path) or module_of(path).isdecimal()


def whole_of(steering: Steering, *, directions: bool = False, **more: object) -> Whole:
    """Return a steering as the delta that is cut. directions: whether it may be added directions, which have no rank.

    Raises SteerdoseError where it is no weight delta.
    """
    for path, edit in steering.edits:
        if not (edit.is_weight_delta or (directions and isinstance(edit, Add))):
            raise SteerdoseError(f"'{steering.method}' is no weight delta: it edits what {path} puts out")
    return Whole(steering.edits, **more)  # type: ignore[arg-type]
