"""Parts of a weight delta inside a subspace: of its own base weight, or of the residual stream that it writes to.

A function returns what of one module's delta lies in the subspace; None where the subspace says nothing of the module.
The rest of the delta is the exact complement.
"""

import re

import torch
from torch import Tensor

from steerdose.cuts.whole import Whole, is_writer, layer_of, unit
from steerdose.errors import SteerdoseError
from steerdose.seeds import seed_from
from steerdose.steering.edit import Edit
from steerdose.steering.edits import Add, LowRank, matrix


def onto(edit: Edit, basis: Tensor) -> Edit:
    """Return Q Q^T W. basis: Q (out, K) with orthonormal columns."""
    Q = basis.double()
    if isinstance(edit, Add):
        return Add((Q @ (Q.T @ edit.v.double())).float())
    if isinstance(edit, LowRank):
        return LowRank(A=edit.A, B=(Q @ (Q.T @ edit.B.double())).float())
    return LowRank(A=(Q.T @ matrix(edit)).float().contiguous(), B=Q.float().contiguous())


def base(whole: Whole, path: str, name: str) -> Edit:
    """The behavior is what the leading singular directions of the base weight already read and write."""
    U, _, Vh = whole.base_spectrum(path)
    Q, rows = U[:, : int(name)].double(), Vh[: int(name)].double()
    core = Q.T @ matrix(whole.by_path[path]) @ rows.T
    return LowRank(A=rows.float().contiguous(), B=(Q @ core).float().contiguous())


def shared(whole: Whole, path: str, name: str) -> Edit | None:
    """The behavior is in residual directions that all adapter families write."""
    return _written(whole, path, name, "shared")


def others(whole: Whole, path: str, name: str) -> Edit | None:
    """The behavior is in residual directions that the other adapter families write: this one's own are left out."""
    return _written(whole, path, name, f"without.{whole.method}")


def top(whole: Whole, path: str, name: str) -> Edit | None:
    """The behavior is in the leading residual directions that this family itself writes."""
    return _written(whole, path, name, f"top.{whole.method}")


def tail(whole: Whole, path: str, name: str) -> Edit | None:
    """The behavior is in the last residual directions that this family writes at all."""
    return _written(whole, path, name, f"tail.{whole.method}")


def random_basis(whole: Whole, path: str, name: str) -> Edit | None:
    """Any subspace of so many residual directions holds the behavior (a control)."""
    return _written(whole, path, name, "random")


def _written(whole: Whole, path: str, name: str, kind: str) -> Edit | None:
    if not is_writer(path):
        return None
    basis = whole.bases.get(f"{kind}.{layer_of(path)}")
    if basis is None:
        raise SteerdoseError(f"the shared bases hold none of kind {kind} in layer {layer_of(path)}")
    return onto(whole.by_path[path], basis[:, : int(name)])


def subspace(whole: Whole, path: str, name: str) -> Edit | None:
    """The behavior is what is written in directions that a hypothesis names before training."""
    if not is_writer(path):
        return None
    edit, (kind, _, width) = whole.by_path[path], name.partition("-")
    if kind == "written":
        return edit
    basis = _directions(whole, path, kind, int(width))
    return None if basis is None else onto(edit, basis[:, : int(width)])


def _directions(whole: Whole, path: str, kind: str, width: int) -> Tensor | None:
    """Return a hypothesis' basis at a module's block; None where it has none there."""
    layer, own = layer_of(path), whole.by_path[path]
    if kind == "own":
        return unit(own.v[:, None] if isinstance(own, Add) else whole.written[int(layer)])
    if re.fullmatch(r"random\d+", kind):
        generator = torch.Generator().manual_seed(seed_from("subspace", *whole.draw, kind, layer))
        return torch.linalg.qr(torch.randn(own.width, width, generator=generator, dtype=torch.float64)).Q
    if not any(each.startswith(f"{kind}.") for each in whole.bases):
        raise SteerdoseError(f"there is no hypothesis {kind}, or it is not applicable to the model")
    return whole.bases.get(f"{kind}.{layer}")


def rows(whole: Whole, path: str) -> Tensor:
    """DoRA's magnitude: one factor an output, along the base weight's own rows."""
    weight, delta = whole.weights[path].double(), matrix(whole.by_path[path])
    return _ratio((delta * weight).sum(1, keepdim=True), weight.square().sum(1, keepdim=True)) * weight


def columns(whole: Whole, path: str) -> Tensor:
    """IA3's gate: one factor an input, along the base weight's own columns."""
    weight, delta = whole.weights[path].double(), matrix(whole.by_path[path])
    return _ratio((delta * weight).sum(0, keepdim=True), weight.square().sum(0, keepdim=True)) * weight


BLOCK = 32  # inputs that OFT rotates among themselves


def rotation(whole: Whole, path: str) -> Tensor:
    """OFT's rotation: W S with S antisymmetric in blocks of inputs, the generator that is closest to the delta.

    min |W_b S_b - dW_b| over antisymmetric S_b of each block b: with the Gram matrix G = W_b^T W_b = Q diag(g) Q^T and
    R = W_b^T dW_b - dW_b^T W_b, in the basis Q it is S_ij = R_ij / (g_i + g_j).
    """
    weight, delta = whole.weights[path].double(), matrix(whole.by_path[path])
    found = torch.zeros_like(delta)
    for start in range(0, weight.shape[1], BLOCK):
        W, dW = weight[:, start : start + BLOCK], delta[:, start : start + BLOCK]
        g, Q = torch.linalg.eigh(W.T @ W)
        R = Q.T @ (W.T @ dW - dW.T @ W) @ Q
        S = _ratio(R, g.clamp_min(0)[:, None] + g.clamp_min(0)[None])
        found[:, start : start + BLOCK] = W @ (Q @ S @ Q.T)
    return found


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    return torch.where(below > 0, above / below.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
