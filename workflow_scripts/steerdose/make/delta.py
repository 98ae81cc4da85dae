"""From two sides to one weight-space steering: positive minus negative, and the geometry of the two."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from steerdose.columns import Cell
from steerdose.errors import SteerdoseError
from steerdose.files import write_json
from steerdose.make.merged import AdapterDelta, Deltas
from steerdose.model.experts import open_experts
from steerdose.model.loading import load_model
from steerdose.steering.edits import Dense, Edit, LowRank, matrix
from steerdose.steering.steering import Steering, origin
from steerdose.study.settings import MergeDiff

RANK_TOLERANCE = 1e-6  # relative Frobenius error at which a factorisation counts as exact
SKETCHES = (64, 512)  # ranks at which a factorisation is tried; a delta of higher rank is stored whole
ROUNDING = 1e-14  # squared length of the difference of two unit vectors that are the same


def factorise(dW: Tensor, tolerance: float = RANK_TOLERANCE) -> Edit:
    """Return dW (out, in) as `LowRank` where that is exact to `tolerance` and smaller, else as `Dense`.

    A Gaussian sketch of more columns than the rank spans all of dW (Halko et al. 2011, arXiv:0909.4061), so a full
    rank costs two sketches and no SVD.
    """
    rows, columns = dW.shape
    limit, largest = tolerance * dW.norm(), rows * columns // (rows + columns)
    generator = torch.Generator().manual_seed(0)
    for size in SKETCHES:
        sketch = dW @ torch.randn(columns, min(size, largest + 1), generator=generator, dtype=dW.dtype)
        Q = torch.linalg.qr(sketch).Q
        core = Q.T @ dW
        if (dW - Q @ core).norm() <= limit:
            U, s, Vh = torch.linalg.svd(core, full_matrices=False)
            tail = s.square().flip(0).cumsum(0).flip(0).sqrt()  # tail[k] is the norm of what rank k leaves out
            rank = int((tail > limit).sum())
            if rank <= largest:
                return LowRank(A=Vh[:rank].float().contiguous(), B=(Q @ U[:, :rank] * s[:rank]).float().contiguous())
            break
    return Dense(dW.float())


@dataclass(frozen=True)
class Products:
    """|P|^2, |N|^2 and <P, N> of two deltas over all modules, and the first two over the modules that both change."""

    p2: float
    n2: float
    pn: float
    shared_p2: float
    shared_n2: float

    @classmethod
    def of(cls, positive: Deltas, negative: Deltas) -> "Products":
        totals = torch.zeros(5, dtype=torch.float64)
        for _, P, N in _pairs(positive, negative):
            p2, n2 = float(P.square().sum()), float(N.square().sum())
            both = bool(p2 and n2)
            totals += torch.tensor([p2, n2, float((P * N).sum()), both * p2, both * n2], dtype=torch.float64)
        return cls(*totals.tolist())

    @property
    def norm_delta(self) -> float:
        return math.sqrt(max(self.p2 - 2 * self.pn + self.n2, 0.0))


def _pairs(positive: Deltas, negative: Deltas) -> Iterator[tuple[str, Tensor, Tensor]]:
    zero = torch.zeros((), dtype=torch.float64)
    for path in sorted({*positive, *negative}):
        yield path, positive.get(path, zero), negative.get(path, zero)


def _bisector(of: Products) -> tuple[float, float]:
    """The difference of the two directions, P / |P| - N / |N|, as long as P - N is.

    |P| and |N| are taken over the modules that both sides touch. Where |P| = |N| this is the difference.
    """
    if not of.shared_p2:
        raise SteerdoseError("delta 'bisector': the adapters have no module in common; use delta: difference")
    p, n = math.sqrt(of.shared_p2), math.sqrt(of.shared_n2)
    squared = of.p2 / p**2 - 2 * of.pn / (p * n) + of.n2 / n**2
    length = of.norm_delta / math.sqrt(squared) if squared > ROUNDING else 0.0
    return length / p, -length / n


# What each side is taken times. Every mode points to the positive persona at a positive coefficient.
MODES: dict[str, Callable[[Products], tuple[float, float]]] = {
    "difference": lambda _: (1.0, -1.0),
    "bisector": _bisector,
    "positive": lambda _: (1.0, 0.0),
    "negative": lambda _: (0.0, -1.0),
}


def angles(of: Products) -> dict[str, float]:
    """Describe how the two deltas lie to each other; all norms are Frobenius norms over all modules.

    norm_delta = |P - N|, norm_drift = |P + N| / 2, cos_anti = -<P, N> / (|P| |N|) (1: exact opposites),
    asymmetry = |P| / |N|, drift_ratio = norm_drift / (norm_delta / 2), cos_delta_drift = |<P - N, P + N>| normalised.
    """
    difference, total = of.norm_delta, math.sqrt(max(of.p2 + 2 * of.pn + of.n2, 0.0))
    return {
        "norm_positive": math.sqrt(of.p2),
        "norm_negative": math.sqrt(of.n2),
        "norm_delta": difference,
        "norm_drift": total / 2,
        "cos_anti": -of.pn / math.sqrt(of.p2 * of.n2),
        "asymmetry": math.sqrt(of.p2 / of.n2),
        "drift_ratio": total / difference if difference else math.inf,
        "cos_delta_drift": abs(of.p2 - of.n2) / (difference * total) if difference and total else 0.0,
    }


def combine(positive: AdapterDelta, negative: AdapterDelta, mode: str) -> tuple[dict[str, Edit], dict[str, Any]]:
    """Return the edits of two sides in a key of `MODES`, and their geometry. Raises SteerdoseError if one is zero."""
    products = Products.of(positive, negative)
    for side, squared in ((positive, products.p2), (negative, products.n2)):
        if not squared:
            raise side.is_zero()
    a, b = MODES[mode](products)
    edits, written = as_edits((path, a * P + b * N) for path, P, N in _pairs(positive, negative))
    return edits, {**written, **angles(products), "delta": mode}


def as_edits(deltas: Iterable[tuple[str, Tensor]]) -> tuple[dict[str, Edit], dict[str, float]]:
    """Return the edits of those deltas that are not zero, with norm_delta and relative_error.

    norm_delta: Frobenius norm over all modules. relative_error: that of what the edits miss, over it.
    """
    edits, squared, missed = {}, 0.0, 0.0
    for path, delta in deltas:
        if not delta.any():
            continue
        edits[path] = factorise(delta)
        squared += float(delta.square().sum())
        missed += float((matrix(edits[path]) - delta).square().sum())
    return edits, {"norm_delta": math.sqrt(squared), "relative_error": math.sqrt(missed / (squared or 1.0))}


def merge_diff(
    *,
    model: str,
    positive: str,
    negative: str,
    cell: Cell,
    settings: MergeDiff,
    entry: str,
    steering: str,
    geometry: str,
) -> None:
    """Write steering/{entry}.safetensors, the delta of a key of `MODES`, and its geometry.json."""
    loaded = load_model(model, train=True)
    open_experts(loaded.model)
    mode = settings.method.delta
    edits, measures = combine(AdapterDelta(loaded.model, positive), AdapterDelta(loaded.model, negative), mode)
    if not edits:
        raise SteerdoseError(f"both adapters of '{entry}' are the same, so their {mode} is empty; train them longer")
    found = Steering(entry, tuple(edits.items()), origin(cell, settings, loaded.sha256))
    found.save(steering)
    write_json({**measures, "modules": found.describe()}, geometry)
