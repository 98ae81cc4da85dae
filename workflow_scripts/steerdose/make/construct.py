"""Weight deltas that nobody trained: rank one in a writer of every block, of base weights and activations alone.

dW = u v^T adds u to the residual stream in proportion to v . x. In every recipe v has a mean of 1 over the inputs x
under both personas, so that at coefficient 1 a block adds u on average. m: difference of the block's mean outputs under
the two personas.

* outer: u = m; v along the leading right singular vector of the layer's weight.
* lm_head: u = m, projected on the leading right singular vectors of the output head: what reaches the logits.
* write_not_read: u = m, projected on what the block's weights write most, less what the next block's read most.
* least_squares: u = m; dW = argmin |dW X - u 1^T|^2 + ridge |dW|^2, which is u v^T with v = (C + ridge I)^-1 mean(x)
  and C = X X^T / n, in closed form.

The baselines of a study of trained deltas: what can be had without any training. So the job stops if a steering was
read in its process.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from steerdose.columns import Cell
from steerdose.errors import SteerdoseError
from steerdose.files import write_json
from steerdose.make.captures import INPUT, Captured
from steerdose.make.modes import read, written
from steerdose.model.architecture import find_blocks, layer_range
from steerdose.model.linear import linear_weight
from steerdose.model.loading import load_model
from steerdose.steering.edits import LowRank
from steerdose.steering.steering import Steering, origin
from steerdose.study.methods import Constructed
from steerdose.study.settings import ConstructDelta


@dataclass(frozen=True)
class Place:
    """What is known at one block. m: (width,). X: inputs of the writer, (2 prompts, in). blocks: it and the next."""

    m: Tensor
    X: Tensor
    writer: nn.Module
    blocks: tuple[nn.Module, ...]
    head: nn.Module


def construct_delta(
    *, model: str, residual: str, inputs: str, cell: Cell, settings: ConstructDelta, entry: str, steering: str,
    geometry: str,
) -> None:  # fmt: skip
    """Write steering/{entry}.safetensors, one rank-one delta a block, and its geometry.json.

    Raises SteerdoseError where a steering was read before, and where a projection leaves nothing.
    """
    if Steering.n_loaded:
        raise SteerdoseError(f"methods.{entry}: a steering was read before it was constructed; it must not see any")
    method, outputs, read_in = settings.method, Captured.load(residual), Captured.load(inputs)
    base = load_model(model, train=True).model
    modules, paths = dict(base.named_modules()), find_blocks(base)
    edits = []
    for layer in layer_range(len(paths), method.layer_range):
        path = f"{paths[layer]}.{method.writer}"
        sides = [side[f"{path}{INPUT}"].double() for side in (read_in.positive, read_in.negative)]
        m = (outputs.positive[paths[layer]].double() - outputs.negative[paths[layer]].double()).mean(0)
        blocks = tuple(modules[each] for each in paths[layer : layer + 2])
        place = Place(m, torch.cat(sides), modules[path], blocks, base.get_output_embeddings())
        u, v = direction(place, method), axis(place, method)
        if not u.norm() > 1e-6 * m.norm():
            raise SteerdoseError(f"methods.{entry}: recipe {method.recipe} leaves nothing of the difference at {path}")
        edits.append((path, LowRank(A=v[None].float(), B=u[:, None].float())))
    found = Steering(entry, tuple(edits), origin(cell, settings, outputs.model_sha256))
    found.save(steering)
    write_json({"method": entry, "modules": found.describe()}, geometry)


def direction(place: Place, method: Constructed) -> Tensor:
    """Return u, (width,)."""
    width = len(place.m)
    if method.recipe == "lm_head":
        V = torch.linalg.svd(linear_weight(place.head), full_matrices=False).Vh[: method.rank].T
        return V @ (V.T @ place.m)
    if method.recipe == "write_not_read":
        W = written(place.blocks[0], width)[:, : method.rank]
        R = read(place.blocks[-1], width)[:, : method.rank]
        u = W @ (W.T @ place.m)
        return u - R @ (R.T @ u)
    return place.m


def axis(place: Place, method: Constructed) -> Tensor:
    """Return v, (in,), with a mean of 1 over the inputs."""
    mean = place.X.mean(0)
    if method.recipe == "least_squares":
        C = place.X.T @ place.X / len(place.X)
        v = torch.linalg.solve(C + method.ridge * C.diagonal().mean() * torch.eye(len(C), dtype=C.dtype), mean)
    else:
        v = torch.linalg.svd(linear_weight(place.writer), full_matrices=False).Vh[0]
    return v / (v @ mean)
