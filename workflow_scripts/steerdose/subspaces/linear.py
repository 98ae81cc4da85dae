"""Bases of subspaces: from matrices, Gram matrices and rows; unions, intersections, what is left beside one.

A basis has orthonormal columns, the leading ones first, so that its first w columns are the basis of width w.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

RELATIVE = 1e-6  # of the largest singular value: directions below are rounding
SKIPPED = 1e-5  # what the published definition drops, whatever the scale


@dataclass(frozen=True)
class Basis:
    """Q: (width, r) orthonormal columns. values: all singular values of what it was taken from, falling; of Q's columns
    the first r.
    """

    Q: Tensor
    values: Tensor

    @property
    def rank(self) -> int:
        """How many of the values are no rounding."""
        return int((self.values > RELATIVE * self.values.max()).sum()) if len(self.values) else 0

    def gap(self, width: int) -> float | None:
        """Return the value at `width` over the next one: near 1 the basis of that width is arbitrary."""
        if len(self.values) <= width or self.Q.shape[1] < width or self.values[width] <= 0:
            return None
        return float(self.values[width - 1] / self.values[width])


def empty(width: int) -> Basis:
    """Return the basis of the zero space."""
    return Basis(torch.zeros(width, 0, dtype=torch.float64), torch.zeros(0, dtype=torch.float64))


def of_gram(gram: Tensor, k: int, *, last: bool = False, checked: bool = True) -> Basis:
    """Return the eigenvectors of the k largest eigenvalues of a symmetric matrix; with `last` of the smallest.

    checked: without those whose root is rounding. The values are roots of the eigenvalues.
    """
    values, vectors = torch.linalg.eigh((gram + gram.T).double() / 2)
    if last:
        return Basis(vectors[:, :k], values[:k].clamp_min(0).sqrt())
    roots = values.flip(0).clamp_min(0).sqrt()
    kept = min(k, int((roots > RELATIVE * roots[0]).sum()) if checked else k)
    return Basis(vectors.flip(1)[:, :kept], roots)


def of_rows(rows: Tensor, k: int, *, centred: bool, unit: bool = False, checked: bool = True) -> Basis:
    """Return the first k principal directions of rows (n, width).

    centred: after the mean row is taken away; unit: after every row is scaled to length 1. checked: without those that
    are rounding, which centred rows always have one of.
    """
    X = rows.double()
    if unit:
        length = X.norm(dim=1, keepdim=True)
        X = torch.where(length > 0, X / length, 0.0)
    if centred:
        X = X - X.mean(0)
    if len(X) < 1 + centred or not X.any():
        return empty(rows.shape[1])
    _, values, Vh = torch.linalg.svd(X, full_matrices=False)
    kept = min(k, int((values > RELATIVE * values[0]).sum()) if checked else len(values))
    return Basis(Vh[:kept].T, values)


def orthonormal(M: Tensor, *, checked: bool = True) -> Tensor:
    """Return orthonormal columns that span M's, nested: the first w of them lie in the span of the first w of M.

    checked: a column that lies in the span of those before it is skipped, relative to its own length. Without it as
    published: QR, of which columns with a small diagonal entry are dropped, and so a part of the span.
    """
    if not checked:
        Q, R = torch.linalg.qr(M.double())
        return Q[:, R.diagonal().abs() > SKIPPED]
    found: list[Tensor] = []
    for column in M.double().T:
        rest = column
        for _ in range(2):  # twice is enough (Kahan)
            for q in found:
                rest = rest - (q @ rest) * q
        if rest.norm() > RELATIVE * column.norm() and len(found) < len(column):
            found.append(rest / rest.norm())
    return torch.stack(found, 1) if found else M.double()[:, :0]


def beside(M: Tensor, Q: Tensor) -> Tensor:
    """Return what of M's columns is orthogonal to those of Q."""
    return M.double() - Q.double() @ (Q.double().T @ M.double())


def gram_beside(gram: Tensor, Q: Tensor) -> Tensor:
    """Return (I - P) gram (I - P), P the projector on Q."""
    return beside(beside(gram, Q).T, Q)


def union(*bases: Tensor, checked: bool = True) -> Tensor:
    """Return an orthonormal basis of all columns, one of each basis in turn, so that a narrow one has its share."""
    most = max(each.shape[1] for each in bases)
    turns = [each[:, i] for i in range(most) for each in bases if i < each.shape[1]]
    return orthonormal(torch.stack(turns, 1), checked=checked) if turns else bases[0][:, :0].double()


def bisectors(A: Tensor, B: Tensor, k: int, *, checked: bool = True) -> tuple[Tensor, Tensor]:
    """Return the k first bisectors of the principal vectors of two spans, and the cosines between these."""
    if not A.shape[1] or not B.shape[1]:
        return A[:, :0].double(), torch.zeros(0, dtype=torch.float64)
    U, cosines, Vh = torch.linalg.svd(A.double().T @ B.double(), full_matrices=False)
    between = A.double() @ U + B.double() @ Vh.T
    return orthonormal(between, checked=checked)[:, :k], cosines[:k].clamp(0, 1)


def overlap(A: Tensor, B: Tensor) -> tuple[float, float] | None:
    """Return the mean cosine of the principal angles of two spans, and the mean squared one; None for an empty one.

    By chance the mean squared cosine is max(r) / width.
    """
    if not A.shape[1] or not B.shape[1]:
        return None
    cosines = torch.linalg.svdvals(A.double().T @ B.double()).clamp(0, 1)
    return float(cosines.mean()), float(cosines.square().mean())
