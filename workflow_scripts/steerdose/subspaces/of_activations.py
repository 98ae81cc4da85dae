"""Hypotheses of activations under clean and persona prompts: contrasts, variance, clusters, turns, and compounds.

Rows are of the last token; n prompts, L blocks. Nothing here has seen a trained delta.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from steerdose.make.estimators import k_means
from steerdose.subspaces.linear import Basis, bisectors, empty, of_rows, union
from steerdose.subspaces.of_weights import Weights, of_product, qk_circuit, write_not_downstream_read
from steerdose.subspaces.registry import MODEL, NotApplicableError, hypothesis
from steerdose.subspaces.sites import Sites

CLUSTERS = 9  # their centres differ in 8 directions
JOINT = 32  # dimensions in which two personas are turned into each other


@dataclass
class Activations:
    """Captured activations, with the weights that some hypotheses use beside them."""

    sites: Sites
    weights: Weights

    @property
    def checked(self) -> bool:
        return self.weights.checked

    def contrast(self, i: int) -> Tensor:
        """Return positive less negative behind block i, (n, width)."""
        return self.sites.positive[i + 1] - self.sites.negative[i + 1]

    def of_contrast(self, rows: Tensor, k: int) -> Basis:
        """Return the directions of paired differences: uncentred and each as long as the others, or as published."""
        centred = self.weights.switches.center_contrasts
        return of_rows(rows, k, centred=centred, unit=not centred, checked=self.checked)

    def of_spread(self, rows: Tensor, k: int) -> Basis:
        """Return the directions in which rows vary."""
        return of_rows(rows, k, centred=True, checked=self.checked)

    def of_mlp(self, sites: Tensor) -> Tensor:
        if not sites.numel():
            raise NotApplicableError("no MLP of readers and writers was captured")
        return sites

    @cached_property
    def features(self) -> tuple[Tensor, Tensor, Tensor]:
        """What is added, amplified and suppressed along the depth, coordinate by coordinate: three of (n, width)."""
        size = self.sites.clean[1:].abs()
        steps = size[1:] - size[:-1]
        added, taken = steps.clamp_min(0).sum(0), (-steps).clamp_min(0).sum(0)
        return added, (size[-1] - size[0]).clamp_min(0), torch.minimum(added, taken)

    @cached_property
    def steps(self) -> Tensor:
        """What every block adds, (L, n, width)."""
        return self.sites.clean[1:] - self.sites.clean[:-1]

    @cached_property
    def net(self) -> Tensor:
        """What all blocks together add, (n, width)."""
        return self.sites.clean[-1] - self.sites.clean[0]


@hypothesis("act:clean", "mixed", "activations", scope=MODEL)
def suppressed(given: Activations, _: int, k: int) -> Basis:
    """What blocks add and later ones take away again: their steps beside the way that all of them go together."""
    if not given.weights.switches.turned_features:
        return given.of_spread(given.features[2], k)
    along = given.net / given.net.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    beside = given.steps - (given.steps * along).sum(-1, keepdim=True) * along
    return of_rows(beside.flatten(0, 1), k, centred=False, unit=True)


@hypothesis("act:clean", "mixed", "activations", scope=MODEL)
def amplified(given: Activations, _: int, k: int) -> Basis:
    """The way that the stream goes from first to last block."""
    if not given.weights.switches.turned_features:
        return given.of_spread(given.features[1], k)
    return of_rows(given.net, k, centred=False, unit=True)


@hypothesis("act:clean", "mixed", "activations", scope=MODEL)
def added_features(given: Activations, _: int, k: int) -> Basis:
    """What blocks add, all steps alike."""
    if not given.weights.switches.turned_features:
        return given.of_spread(given.features[0], k)
    return of_rows(given.steps.flatten(0, 1), k, centred=False, unit=True)


@hypothesis("act:baseline", "mixed", "activations", scope=MODEL)
def global_clean_resid_pca(given: Activations, _: int, k: int) -> Basis:
    """Where clean prompts vary, over all blocks."""
    return given.of_spread(given.sites.clean[1:].flatten(0, 1), k)


@hypothesis("act:baseline", "mixed", "activations", scope=MODEL)
def global_persona_resid_pca(given: Activations, _: int, k: int) -> Basis:
    """Where prompts under both personas vary, over all blocks."""
    return given.of_spread(torch.cat([given.sites.positive[1:], given.sites.negative[1:]]).flatten(0, 1), k)


@hypothesis("act:baseline", "mixed", "activations")
def layer_clean_resid_pca(given: Activations, i: int, k: int) -> Basis:
    """Where clean prompts vary behind the block."""
    return given.of_spread(given.sites.clean[i + 1], k)


@hypothesis("act:persona", "mixed", "activations", source="Rimsky et al. 2024, arXiv:2312.06681")
def diff_in_means(given: Activations, i: int, k: int) -> Basis:  # noqa: ARG001
    """The difference of means of the two personas: one direction."""
    mean = given.contrast(i).double().mean(0)
    return Basis(mean[:, None] / mean.norm(), mean.norm()[None]) if mean.any() else empty(len(mean))


@hypothesis("act:persona", "mixed", "activations")
def TaskDiff_contrast(given: Activations, i: int, k: int) -> Basis:  # noqa: N802 (as published)
    """Directions of the differences between two personas, prompt by prompt."""
    return given.of_contrast(given.contrast(i), k)


@hypothesis("act:up_proj", "mixed", "activations")
def up_proj_input_contrast(given: Activations, i: int, k: int) -> Basis:
    """Directions of the differences in what the MLP reads."""
    _, positive, negative = given.of_mlp(given.sites.up_in)[:, i]
    rows = positive - negative
    if given.weights.switches.fold_norm_gain:  # back from what is read to the stream
        gain = given.weights.block(i).norms["up"].gain
        rows = torch.where(gain != 0, rows / gain, 0.0)
    return given.of_contrast(rows, k)


@hypothesis("act:up_proj", "mixed", "activations")
def up_proj_output_written_contrast(given: Activations, i: int, k: int) -> Basis:
    """Directions of the differences in what the MLP's up layer puts out, as the down layer would write it."""
    positive, negative = given.of_mlp(given.sites.up_out)[:, i]
    return given.of_contrast((positive - negative) @ given.weights.writer(i, "down").T, k)


@hypothesis("act:MLP", "mixed", "activations")
def gate_active_written(given: Activations, i: int, k: int) -> Basis:
    """Where what the MLP writes for clean prompts varies."""
    return given.of_spread(given.of_mlp(given.sites.mlp_out)[i], k)


@hypothesis("W:MLP", "write", "activations")
def gate_kernel(given: Activations, i: int, k: int) -> Basis:
    """What the MLP writes most of what it reads, its gate at its mean over clean prompts: W_down diag(g) W_up.

    Without a gate g is the mean slope of the activation.
    """
    block, folded = given.weights.block(i), given.weights.switches.fold_norm_gain
    x = given.of_mlp(given.sites.up_in)[0, i]
    act = block.act
    if act is None:
        raise NotApplicableError("the MLP's activation was not found")
    if "gate" in block.readers:
        gate = act(x @ block.readers["gate"].T).mean(0)
    else:
        with torch.enable_grad():
            inner = (x @ block.readers["up"].T).clone().requires_grad_()
            gate = torch.autograd.grad(act(inner).sum(), inner)[0].mean(0)
    up = block.reader("up", folded=folded)
    return of_product((given.weights.writer(i, "down") * gate.detach()) @ up, k, checked=given.checked)


@hypothesis("act:cluster", "mixed", "activations")
def chars_clusters(given: Activations, i: int, k: int) -> Basis:
    """Where the centres of clusters of clean and persona activations lie."""
    rows = torch.cat([given.sites.clean[i + 1], given.sites.positive[i + 1], given.sites.negative[i + 1]]).double()
    if not given.checked:
        return of_rows(_lloyd(rows - rows.mean(0), CLUSTERS - 1, 8), k, centred=True, checked=False)
    centres, _ = k_means(rows, min(CLUSTERS, len(rows)))
    return of_rows(centres, k, centred=True)


def _lloyd(rows: Tensor, n: int, iterations: int) -> Tensor:
    """Return centres from the n longest rows on, an empty cluster keeping its own: the published way."""
    centres = rows[rows.norm(dim=1).argsort(descending=True)[:n]]
    for _ in range(iterations):
        labels = torch.cdist(rows, centres).argmin(1)
        own = [rows[labels == j] for j in range(n)]
        centres = torch.stack([each.mean(0) if len(each) else old for each, old in zip(own, centres, strict=True)])
    return centres


@hypothesis("act:clean", "mixed", "activations")
def churn(given: Activations, i: int, k: int) -> Basis:
    """Where what the block adds for clean prompts varies."""
    last = len(given.sites.clean) - 2
    of = i if given.weights.switches.same_block else min(i + 1, last)
    if given.weights.switches.same_block or i < last:
        return given.of_spread(given.steps[of], k)
    return empty(given.sites.clean.shape[-1])


@hypothesis("act:rotation", "mixed", "activations")
def rotation_contrast(given: Activations, i: int, k: int) -> Basis:
    """Planes in which the best rotation of one persona's activations onto the other's turns most."""
    X, Y = given.sites.negative[i + 1].double(), given.sites.positive[i + 1].double()
    n = min(JOINT, 2 * len(X) - 2, X.shape[1])
    J = of_rows(torch.cat([X, Y]), n, centred=True, checked=given.checked).Q[:, :n]
    U, values, Vh = torch.linalg.svd(((X - X.mean(0)) @ J).T @ ((Y - Y.mean(0)) @ J))
    if given.weights.switches.determined_rotation:  # the rest is turned by nothing that was seen
        kept = values > 1e-9 * values[0]
        U, Vh = U[:, kept], Vh[kept]
    turn = U @ Vh
    planes, angles, _ = torch.linalg.svd(turn - turn.T)
    return Basis(J @ planes[:, :k], angles)


@hypothesis("compound", "mixed", "both")
def qk_x_chars_clusters(given: Activations, i: int, k: int) -> Basis:
    """Bisectors of `qk_circuit` and `chars_clusters`."""
    Q, cosines = bisectors(qk_circuit(given.weights, i, k).Q, chars_clusters(given, i, k).Q, k, checked=given.checked)
    return Basis(Q, cosines)


@hypothesis("compound", "mixed", "both")
def WNR_union_TaskDiff(given: Activations, i: int, k: int) -> Basis:  # noqa: N802 (as published)
    """`write_not_downstream_read` and `TaskDiff_contrast`, a direction of each in turn."""
    parts = write_not_downstream_read(given.weights, i, k).Q, TaskDiff_contrast(given, i, k).Q
    if not given.checked:  # as published, twice as wide
        Q = union(parts[0], parts[1], checked=False)
    else:
        Q = union(parts[0][:, : -(-k // 2)], parts[1][:, : -(-k // 2)])[:, :k]
    return Basis(Q, torch.ones(Q.shape[1], dtype=torch.float64))
