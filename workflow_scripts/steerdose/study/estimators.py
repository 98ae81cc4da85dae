"""Activation estimators as the config knows them: names, options with defaults, sources. Imports no torch.

What they compute is `make.estimators`, a function of the same name each, which takes the fields here as keywords.
"""

from typing import ClassVar

from steerdose.study.base import Part


class Estimator(Part):
    """Options of one estimator. `weights`: whether it reads the module's weights beside its activations.

    `adds`: whether its edit adds one direction, of which parts in subspaces can be cut.
    """

    source: ClassVar[str] = ""
    adds: ClassVar[bool] = False
    weights: ClassVar[bool] = False


class MeanDiff(Estimator):
    """Add the unit vector along the difference of means."""

    source = "Rimsky et al. 2024, arXiv:2312.06681"
    adds = True


class Pca(Estimator):
    """Add the first principal direction of the paired differences."""

    source = "Zou et al. 2023, arXiv:2310.01405"
    adds = True
    centred: bool = False


class DirectionalAblation(Estimator):
    """Remove the component along the difference of means."""

    source = "Arditi et al. 2024, arXiv:2406.11717"


class CosineGated(Estimator):
    """Add the difference of means in proportion to how much a token speaks of it beyond the threshold."""

    source = "Lee et al. 2024, arXiv:2409.05907"
    threshold: float = 0.0


class TopkClusters(Estimator):
    """Add, token by token, the nearest of several directions."""

    source = "Dhillon and Modha 2001, doi:10.1023/A:1007612920971"
    clusters: int = 4


class Spherical(Estimator):
    """Turn every token along the great circle towards the difference of means."""

    source = "You et al. 2026, arXiv:2602.08169"


class Angular(Estimator):
    """Rotate every token by a common angle within a plane."""

    source = "Vu and Nguyen 2025, arXiv:2510.26243"


class LinearTransport(Estimator):
    """Move every coordinate along its affine optimal transport."""

    source = "Rodriguez et al. 2024, arXiv:2410.23054"


class Chars(Estimator):
    """Move tokens by the shift of the clusters that they are near."""

    source = "Abdullaev et al. 2026, arXiv:2603.02237"
    clusters: int = 4
    regularisation: float = 0.1


class Sspace(Estimator):
    """Add a direction in the coordinates of a linear layer's singular modes."""

    weights = True
    rank: int = -1


class SspaceAblate(Sspace):
    """Remove a direction from those coordinates."""


class SspaceDampAmp(Sspace):
    """Amplify and damp those coordinates."""


class SuperSspace(Estimator):
    """Add a direction in the modes of all layers of a block that read from or write to the residual stream."""

    weights = True
    rank: int = -1


class SvdSteering(Estimator):
    """Add what of the mean difference lies in the directions that the block's weights write most."""

    weights = True
    adds = True
    rank: int = 16


ESTIMATORS: dict[str, type[Estimator]] = {
    "mean_diff": MeanDiff,
    "pca": Pca,
    "directional_ablation": DirectionalAblation,
    "cosine_gated": CosineGated,
    "topk_clusters": TopkClusters,
    "spherical": Spherical,
    "angular": Angular,
    "linear_transport": LinearTransport,
    "chars": Chars,
    "sspace": Sspace,
    "sspace_ablate": SspaceAblate,
    "sspace_damp_amp": SspaceDampAmp,
    "super_sspace": SuperSspace,
    "svd_steering": SvdSteering,
}
