"""How much of a label a basis holds, over chance: R = tr(Q^T S Q) width / r.

S is the label as a positive matrix of trace 1: of activations the mean of x x^T / |x|^2 over prompts, of a weight delta
M M^T / |M|^2. A random basis has R = 1 in the mean and no basis more than width / r. A label is kept as its factor F
with S = F F^T, (width, v), columns orthogonal and falling: the singular vectors of what it was made of, each as long as
its singular value. So it is taken apart once, and the best basis of every width can be read off.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from steerdose.subspaces.linear import RELATIVE, beside, orthonormal

LEAST = 1e-3  # sine of the angle to what is taken away: what is below lies in it, but for rounding


def of_differences(rows: Tensor) -> Tensor | None:
    """Return the label of rows (n, width), each scaled to length 1; None where all of them are zero."""
    length = rows.double().norm(dim=1, keepdim=True)
    there = length[:, 0] > 0
    return of_delta((rows.double()[there] / length[there]).T)


def of_delta(M: Tensor) -> Tensor | None:
    """Return the label of a weight delta M, or of any U with U U^T = M M^T; None for a zero one."""
    if not M.any():
        return None
    U, values, _ = torch.linalg.svd(M.double(), full_matrices=False)
    kept = values > RELATIVE * values[0]
    return U[:, kept] * (values[kept] / values.norm())


def mean_of(labels: Sequence[Tensor]) -> Tensor:
    """Return the mean of several labels, each heard alike."""
    found = of_delta(torch.cat(list(labels), 1))
    assert found is not None
    return found


def effective_dimension(factor: Tensor) -> float:
    """Return 1 / tr S^2, the number of directions that a label has as it were."""
    return float(1 / factor.square().sum(0).square().sum())


def recovery(factor: Tensor, Q: Tensor, width: int | None = None) -> float:
    """Return R of a basis. width: of the space that a random basis would lie in, the stream's by default."""
    return float((Q.double().T @ factor).square().sum() * (width or factor.shape[0]) / Q.shape[1])


def best(factor: Tensor, r: int) -> Tensor:
    """Return the basis of width r with the largest R; narrower where the label has fewer directions."""
    return factor[:, :r] / factor[:, :r].norm(dim=0)


def chance_variance(factor: Tensor, r: int, width: int | None = None) -> float:
    """Return the exact variance of R over random bases of width r; its mean is 1.

    Var R = 2 d (d - r) / (r (d - 1) (d + 2)) (tr S^2 - 1 / d), from E[P x P] of a uniformly random projector P.
    """
    d = width or factor.shape[0]
    return max(0.0, 2 * d * (d - r) / (r * (d - 1) * (d + 2)) * (1 / effective_dimension(factor) - 1 / d))


def chance_draws(factor: Tensor, r: int, draws: int, rng: np.random.Generator, width: int | None = None) -> np.ndarray:
    """Return R of random bases of width r, (draws,), without making any.

    What a uniformly random basis Q has in a v-dimensional space is distributed as A (A^T A + W)^-1/2, A (v, r) Gaussian
    and W Wishart_r(d - v); so R = d / r tr((A^T A + W)^-1 A^T D A) with D the eigenvalues of S. W is drawn by
    Bartlett's decomposition; where d - v is less than r, all d directions are drawn and there is no W.
    """
    d = width or factor.shape[0]
    eigenvalues = factor.square().sum(0).numpy()
    if d - len(eigenvalues) < r:
        eigenvalues = np.concatenate([eigenvalues, np.zeros(d - len(eigenvalues))])
    v, rest = len(eigenvalues), d - len(eigenvalues)
    A = rng.standard_normal((draws, v, r))
    L = np.zeros((draws, r, r))
    if rest:
        L = np.tril(rng.standard_normal((draws, r, r)), -1)
        L[:, range(r), range(r)] = np.sqrt(rng.chisquare(rest - np.arange(r), (draws, r)))
    turned = A.transpose(0, 2, 1)
    inside, every = turned @ (eigenvalues[:, None] * A), turned @ A + L @ L.transpose(0, 2, 1)
    return np.trace(np.linalg.solve(every, inside), axis1=1, axis2=2) * d / r


def label_beside(rows: Tensor, clean: Tensor) -> Tensor | None:
    """Return the label of what of rows (n, width) is orthogonal to `clean`, directions that every prompt moves in.

    None where nothing of it is left.
    """
    own = beside(rows.T, clean)
    return of_differences(own.T[own.norm(dim=0) > LEAST * rows.double().norm(dim=1)])


def basis_beside(Q: Tensor, clean: Tensor) -> Tensor:
    """Return an orthonormal basis of what of a basis is orthogonal to `clean`; narrower where some lies in it."""
    outside = beside(Q, clean)
    return orthonormal(outside[:, outside.norm(dim=0) > LEAST])


def excess(R: float, R_best: float) -> float | None:
    """Return (R - 1) / (R_best - 1): 0 for chance, 1 for the best basis of that width."""
    return (R - 1) / (R_best - 1) if R_best > 1 else None
