"""Estimators: how contrasting activations of one module become an edit of its output.

One function each. `@estimator` registers it under its own name; its keyword-only arguments with defaults are the
options that a config entry may set. `config_checks` reads both from this file's text, so a new estimator needs nothing
but its function here.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from scipy.cluster.vq import ClusterError, kmeans2
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from steerdose.errors import SteerdoseError
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

SMALLEST_MODE = 1e-6  # singular values below this share of the largest are rounding noise
WRITERS = ("o_proj", "out_proj", "c_proj", "down_proj", "dense_4h_to_h", "dense", "wo", "w2", "fc2", "fc_out")
READERS = (
    "q_proj", "k_proj", "v_proj", "qkv_proj", "query_key_value", "c_attn", "query", "key", "value", "gate_proj",
    "up_proj", "gate_up_proj", "c_fc", "dense_h_to_4h", "in_proj", "wq", "wk", "wv", "w1", "w3", "fc1", "fc_in",
)  # fmt: skip


@dataclass(frozen=True)
class Contrast:
    """Activations of one module under opposite personas. positive, negative: (prompts, width), row i of one prompt."""

    positive: Tensor
    negative: Tensor
    module: nn.Module

    @property
    def differences(self) -> Tensor:
        """Positive minus negative, (prompts, width), in double precision."""
        return self.positive.double() - self.negative.double()

    @property
    def mean_difference(self) -> Tensor:
        return self.differences.mean(0)

    def rows(self, chosen: Tensor) -> "Contrast":
        """Return the contrast of some prompts; chosen: indices or a mask."""
        return replace(self, positive=self.positive[chosen], negative=self.negative[chosen])

    def swapped(self, mask: Tensor) -> "Contrast":
        """Return the contrast with the two labels exchanged for the prompts where mask (prompts,) is true."""
        positive = torch.where(mask[:, None], self.negative, self.positive)
        return replace(self, positive=positive, negative=torch.where(mask[:, None], self.positive, self.negative))


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
def pca(contrast: Contrast, *, centred: bool = False) -> Edit:
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
def cosine_gated(contrast: Contrast, *, threshold: float = 0.0) -> Edit:
    """Add the difference of means in proportion to max(|cos(y, v)| - threshold, 0).

    Source: a soft form of conditional activation steering, Lee et al. 2024 (arXiv:2409.05907).
    """
    return Gated(unit(contrast.mean_difference).float(), torch.tensor(float(threshold)))


@estimator
def topk_clusters(contrast: Contrast, *, clusters: int = 4) -> Edit:
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
def chars(contrast: Contrast, *, clusters: int = 4, regularisation: float = 0.1) -> Edit:
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
def sspace(contrast: Contrast, *, rank: int = -1) -> Edit:
    """Add the mean difference in the S-space of a linear layer, in proportion to |cos| of token and direction.

    S-space: the output's coordinates in the layer's left singular vectors, divided by the roots of the singular
    values. rank: how many modes with the largest mean difference; -1 takes all. Acts on a linear `submodule`.
    Source: the steering-lite library, no paper; on singular vectors as units of meaning see Millidge and Black 2022,
    "The singular value decompositions of transformer weight matrices are highly interpretable".
    """
    return AddS(**_linear_modes(contrast, rank))


@estimator
def sspace_ablate(contrast: Contrast, *, rank: int = -1) -> Edit:
    """Remove the mean difference from the S-space of a linear layer: `directional_ablation` in those coordinates."""
    return AblateS(**_linear_modes(contrast, rank))


@estimator
def sspace_damp_amp(contrast: Contrast, *, rank: int = -1) -> Edit:
    """Amplify the singular modes that the positive persona raises, and damp the others: see `sspace`."""
    return ScaleS(**_linear_modes(contrast, rank))


@estimator
def super_sspace(contrast: Contrast, *, rank: int = -1) -> Edit:
    """`sspace` of a whole block: modes of all layers that read from or write to the residual stream.

    The modes are the eigenvectors of sum W W^T over the writers plus sum W^T W over the readers.
    """
    return AddS(**_top_modes(contrast, *_block_modes(contrast.module, contrast.positive.shape[1]), rank))


def _linear_modes(contrast: Contrast, rank: int) -> dict[str, Tensor]:
    return _top_modes(contrast, *_singular_modes(contrast.module), rank)


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


def linear_weight(module: nn.Module) -> Tensor:
    """Return the weight of a linear layer as (out, in), double, on the CPU."""
    weight = module.weight.detach().double().cpu()  # type: ignore[operator]
    return weight.T if isinstance(module, Conv1D) else weight


def linear_layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the linear layers inside a module with their paths; '' is the module itself."""
    return ((path, inner) for path, inner in module.named_modules() if isinstance(inner, nn.Linear | Conv1D))


@lru_cache(maxsize=1)  # a fit and its resamplings ask for the same module
def _singular_modes(module: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Return left singular vectors (out, r), singular values (r,) and bias (out,) of a linear layer."""
    if not isinstance(module, nn.Linear | Conv1D):
        inside = [path for path, _ in linear_layers(module)]
        raise SteerdoseError(f"this estimator acts on the output of a linear layer: set 'submodule' to one of {inside}")
    U, values, _ = torch.linalg.svd(linear_weight(module), full_matrices=False)
    kept = values > SMALLEST_MODE * values[0]
    bias = torch.zeros(len(U)) if module.bias is None else module.bias.detach().cpu()
    return U[:, kept], values[kept], bias


@lru_cache(maxsize=1)
def _block_modes(block: nn.Module, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return eigenvectors (width, r), roots of the eigenvalues (r,) and a zero bias of a block's pooled Gram matrix."""
    gram = torch.zeros(width, width, dtype=torch.float64)
    for path, layer in linear_layers(block):
        W = linear_weight(layer)
        role = residual_role(path, (W.shape[0], W.shape[1]), width)
        if role == "writer":
            gram += W @ W.T
        elif role == "reader":
            gram += W.T @ W
    if not gram.any():
        raise SteerdoseError(
            "'super_sspace' found no linear layer that reads or writes the residual stream: set 'submodule' to null, "
            "or use 'sspace' on one linear layer"
        )
    values, vectors = torch.linalg.eigh(gram)
    kept = values > SMALLEST_MODE**2 * values[-1]
    return vectors[:, kept], values[kept].sqrt(), torch.zeros(width)


def residual_role(path: str, shape: tuple[int, int], width: int) -> str:
    """Return what a linear layer (out, in) does to a residual stream of this width: writer, reader or inner.

    The shape says so, except for square layers: these go by their name. Raises SteerdoseError for an unknown name.
    """
    out, into = shape
    if out != into:
        return "writer" if out == width else "reader" if into == width else "inner"
    if out != width:
        return "inner"
    name = path.rsplit(".", 1)[-1]
    if name in WRITERS or name in READERS:
        return "writer" if name in WRITERS else "reader"
    raise SteerdoseError(
        f"'super_sspace' cannot tell whether the square layer '{path}' reads from or writes to the residual stream: "
        "add its name to WRITERS or READERS in steerdose/make/estimators.py, or use 'sspace' on one linear layer"
    )
