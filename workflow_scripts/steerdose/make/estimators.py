"""Estimators: how contrasting activations of one module become an edit of its output.

One function each, of the name that `study.estimators` gives it; its keywords are the options that stand there, with
their defaults.
"""

from collections.abc import Callable
from contextlib import suppress

import torch
from scipy.cluster.vq import ClusterError, kmeans2
from torch import Tensor

from steerdose.errors import SteerdoseError
from steerdose.make.contrast import Contrast
from steerdose.make.modes import SMALLEST_MODE, block_modes, singular_modes, written
from steerdose.steering.edits import (
    TINY,
    Ablate,
    AblateS,
    Add,
    AddNearest,
    AddS,
    Edit,
    Gated,
    Rotate,
    ScaleS,
    ShiftClusters,
    Transport,
    Turn,
)

Estimator = Callable[..., Edit]
ESTIMATORS: dict[str, Estimator] = {}


def estimator(function: Estimator) -> Estimator:
    """Register an estimator: (contrast, **options) -> edit."""
    ESTIMATORS[function.__name__] = function
    return function


def unit(v: Tensor) -> Tensor:
    """Return v / |v| along the last axis; a zero vector stays one."""
    return v / v.norm(dim=-1, keepdim=True).clamp_min(TINY)


@estimator
def mean_diff(contrast: Contrast) -> Edit:
    """Add the unit vector along the difference of means.

    Source: contrastive activation addition, Rimsky et al. 2024 (arXiv:2312.06681), with the direction normalised.
    """
    return Add(unit(contrast.mean_difference).float())


@estimator
def pca(contrast: Contrast, *, centred: bool) -> Edit:
    """Add the first principal direction of the paired differences.

    The sign is the majority's: most prompts project higher under the positive persona; the mean settles a tie. Centred,
    the direction is where prompts disagree most about the difference, and no longer the difference itself; the vote
    is taken on the raw differences all the same, because centred projections have mean zero.
    Source: representation engineering, Zou et al. 2023 (arXiv:2310.01405).
    """
    differences = contrast.differences
    return Add(principal(differences - differences.mean(0) if centred else differences, differences).float())


def principal(rows: Tensor, voters: Tensor) -> Tensor:
    """Return the first right singular vector of rows (n, width), signed by the majority of voters (m, width)."""
    if not rows.any():
        return torch.zeros_like(rows[0])
    v = torch.linalg.svd(rows, full_matrices=False).Vh[0]
    votes = voters @ v
    majority = votes.sign().sum()
    return -v if (majority if majority else votes.sum()) < 0 else v


@estimator
def directional_ablation(contrast: Contrast) -> Edit:
    """Remove the component along the difference of means: coefficient 1 removes all of it, 0 nothing.

    Source: Arditi et al. 2024 (arXiv:2406.11717), with a coefficient that starts at the identity.
    """
    return Ablate(unit(contrast.mean_difference).float())


@estimator
def cosine_gated(contrast: Contrast, *, threshold: float) -> Edit:
    """Add the difference of means in proportion to max(|cos(y, v)| - threshold, 0).

    Source: a soft form of conditional activation steering, Lee et al. 2024 (arXiv:2409.05907).
    """
    return Gated(unit(contrast.mean_difference).float(), torch.tensor(float(threshold)))


@estimator
def topk_clusters(contrast: Contrast, *, clusters: int) -> Edit:
    """Add, token by token, the nearest of `clusters` directions: cosine k-means of the paired differences.

    Directions that point against the mean difference are flipped.
    Source: k-means on the sphere, Dhillon and Modha 2001 (doi:10.1023/A:1007612920971).
    """
    centres, _ = k_means(unit(contrast.differences), clusters)
    against = (centres @ contrast.mean_difference) < 0
    return AddNearest(unit(torch.where(against[:, None], -centres, centres)).float())


@estimator
def spherical(contrast: Contrast) -> Edit:
    """Turn every token along the great circle towards the difference of means; norms are kept.

    Source: spherical steering, You et al. 2026 (arXiv:2602.08169); slerp of Shoemake 1985, with the angle from atan2,
    which neither leaves its domain nor loses digits where the two are nearly parallel.
    """
    return Turn(unit(contrast.mean_difference).float())


@estimator
def angular(contrast: Contrast) -> Edit:
    """Rotate every token by a common angle (radians) within the plane of b1 and b2; norms are kept.

    b1 is the direction of the mean difference, b2 the first principal direction of what the normalised paired
    differences have beside b1, on the side of the mean activation, so that a small positive angle turns tokens
    towards b1. Source: angular steering, Vu and Nguyen 2025 (arXiv:2510.26243), which sets the angle where this adds
    to it: there 0 is not the identity.
    """
    b1 = unit(contrast.mean_difference)
    beside = unit(contrast.differences)
    beside = beside - (beside @ b1)[:, None] * b1
    if beside.norm() <= SMALLEST_MODE * len(beside) ** 0.5:
        raise SteerdoseError("estimator 'angular' needs prompts whose differences differ; use more pairs")
    mean = torch.cat([contrast.positive, contrast.negative]).double().mean(0)
    b2 = principal(beside, mean[None] - (mean @ b1) * b1)
    return Rotate(b1.float(), unit(b2 - (b2 @ b1) * b1).float())


@estimator
def linear_transport(contrast: Contrast) -> Edit:
    """Move every coordinate along its affine optimal transport from the negative to the positive activations.

    Least squares of the sorted positive on the sorted negative values; a coordinate that is constant is shifted.
    Source: Linear-AcT, Rodriguez et al. 2024 (arXiv:2410.23054).
    """
    source, target = (side.double().sort(0).values for side in (contrast.negative, contrast.positive))
    from_mean, to_mean = source - source.mean(0), target - target.mean(0)
    variance = from_mean.square().sum(0)
    slope = torch.where(variance > 0, (from_mean * to_mean).sum(0) / variance.clamp_min(TINY), 1.0)
    return Transport((slope - 1).float(), (target.mean(0) - slope * source.mean(0)).float())


@estimator
def chars(contrast: Contrast, *, clusters: int, regularisation: float) -> Edit:
    """Move tokens by the shift of the clusters that they are near: clusters of both poles, matched by transport.

    The entropic plan is found on squared distances divided by their median, so `regularisation` has no units. Each
    negative cluster's shift is barycentric, its weight a Gaussian whose sigma is the RMS distance of activations to
    their own centre. Source: CHaRS, Abdullaev et al. 2026 (arXiv:2603.02237).
    """
    (centres, labels), (targets, target_labels) = (
        k_means(side.double(), clusters) for side in (contrast.negative, contrast.positive)
    )
    mass, target_mass = (found.bincount(minlength=clusters).double() / len(found) for found in (labels, target_labels))
    plan = sinkhorn(torch.cdist(centres, targets).square(), mass, target_mass, regularisation)
    shifts = plan @ targets / plan.sum(1, keepdim=True) - centres
    spread = (contrast.negative.double() - centres[labels]).square().sum(-1).mean().sqrt()
    sigma = spread if spread > 0 else torch.pdist(centres).mean() if clusters > 1 else torch.tensor(1.0)
    return ShiftClusters(centres.float(), shifts.float(), mass.log().float(), sigma.float())


def k_means(points: Tensor, clusters: int) -> tuple[Tensor, Tensor]:
    """Return the centres (clusters, width) and labels (n,) of the best of 10 seeded k-means++ starts."""
    distinct = len(points.unique(dim=0))
    if not 1 <= clusters <= distinct:
        raise SteerdoseError(f"options.clusters is {clusters}, but the fit has {distinct} different prompts")
    found: list[tuple[float, Tensor, Tensor]] = []
    for start in range(10):
        with suppress(ClusterError):  # this start lost a cluster on the way
            result = kmeans2(points.numpy(), clusters, iter=50, minit="++", missing="raise", rng=start)
            centres, labels = (torch.from_numpy(part) for part in result)
            found.append((float((points - centres[labels]).square().sum()), centres, labels.long()))
    if not found:
        raise SteerdoseError(f"the activations do not fall into {clusters} clusters: lower options.clusters")
    return min(found, key=lambda result: result[0])[1:]


def sinkhorn(cost: Tensor, rows: Tensor, columns: Tensor, regularisation: float) -> Tensor:
    """Return the entropic transport plan (k, k) with these marginals, computed on logarithms.

    The cost is divided by its median. `rows` are met to the accuracy that 1000 iterations reach, `columns` exactly.
    Source: Cuturi 2013 (arXiv:1306.0895).
    """
    kernel = -cost / (regularisation * cost.median().clamp_min(TINY))
    u, v = torch.zeros_like(rows), torch.zeros_like(columns)
    for _ in range(1000):
        before = u
        u = rows.log() - torch.logsumexp(kernel + v, 1)
        v = columns.log() - torch.logsumexp(kernel + u[:, None], 0)
        if (u - before).abs().max() < 1e-9:
            break
    return (kernel + u[:, None] + v).exp()


@estimator
def sspace(contrast: Contrast, *, rank: int) -> Edit:
    """Add the mean difference in the S-space of a linear layer, in proportion to |cos| of token and direction.

    S-space: the output's coordinates in the layer's left singular vectors, divided by the roots of the singular
    values. rank: how many modes with the largest mean difference; -1 takes all. Acts on a linear `submodule`.
    Source: the steering-lite library, no paper; on singular vectors as units of meaning see Millidge and Black 2022,
    "The singular value decompositions of transformer weight matrices are highly interpretable".
    """
    return AddS(**_linear_modes(contrast, rank))


@estimator
def sspace_ablate(contrast: Contrast, *, rank: int) -> Edit:
    """Remove the mean difference from the S-space of a linear layer: `directional_ablation` in those coordinates."""
    return AblateS(**_linear_modes(contrast, rank))


@estimator
def sspace_damp_amp(contrast: Contrast, *, rank: int) -> Edit:
    """Amplify the singular modes that the positive persona raises, and damp the others: see `sspace`."""
    return ScaleS(**_linear_modes(contrast, rank))


@estimator
def super_sspace(contrast: Contrast, *, rank: int) -> Edit:
    """`sspace` of a whole block: modes of all layers that read from or write to the residual stream.

    The modes are the eigenvectors of sum W W^T over the writers plus sum W^T W over the readers.
    """
    return AddS(**_top_modes(contrast, *block_modes(contrast.module, contrast.positive.shape[1]), rank))


@estimator
def svd_steering(contrast: Contrast, *, rank: int) -> Edit:
    """Add the mean difference, as a unit vector, projected on what the block's own weights write most.

    The `rank` leading left singular vectors of all layers of the block that write to the residual stream, side by side.
    The projection keeps its length: scaled up to 1, a direction that the weights hardly write would look as strong as
    one that they do.
    """
    if rank < 1:
        raise SteerdoseError(f"options.rank is {rank}: give a number of directions")
    Q = written(contrast.module, contrast.positive.shape[1])[:, :rank]
    return Add((Q @ (Q.T @ unit(contrast.mean_difference))).float())


def _linear_modes(contrast: Contrast, rank: int) -> dict[str, Tensor]:
    return _top_modes(contrast, *singular_modes(contrast.module), rank)


def _top_modes(contrast: Contrast, basis: Tensor, scale: Tensor, bias: Tensor, rank: int) -> dict[str, Tensor]:
    """Return the fields of an edit in S-space with the `rank` modes of the largest mean difference."""
    if rank == 0 or rank < -1:
        raise SteerdoseError(f"options.rank is {rank}: give a number of modes, or -1 for all")
    root = scale.sqrt()
    d = contrast.mean_difference @ basis / root
    chosen = d.abs().argsort(descending=True)[: rank if rank > 0 else None].sort().values
    return {
        "basis": basis[:, chosen].float().contiguous(),
        "root": root[chosen].float(),
        "bias": bias.float(),
        "d": unit(d[chosen]).float(),
    }
