"""Random controls: steerings of the same kinds, places and norms as a fitted one, with random directions."""

import torch
from torch import Tensor

from steerdose.columns import Cell
from steerdose.errors import SteerdoseError
from steerdose.files import write_json
from steerdose.seeds import seed_from
from steerdose.steering.edits import Dense, Edit, LowRank, Rotate
from steerdose.steering.steering import Steering, origin
from steerdose.study.settings import DrawControl


def randomise(edit: Edit, generator: torch.Generator) -> Edit:
    """Return a random edit of the same kind.

    Add and the other edits with directions: Gaussian directions of equal norm, everything else kept. LowRank: Gaussian
    factors of equal rank, B A of equal Frobenius norm. Dense: a Gaussian matrix of equal Frobenius norm. Rotate: a
    random plane. Raises SteerdoseError for kinds that name no direction.
    """

    def gaussian(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float64)

    if isinstance(edit, LowRank):
        A, B = gaussian(edit.A), gaussian(edit.B)
        return LowRank(A.float(), (B * edit.norm() / LowRank(A, B).norm()).float())
    if isinstance(edit, Dense):
        random = gaussian(edit.dW)
        return Dense((random * edit.norm() / random.norm()).float())
    if isinstance(edit, Rotate):
        plane = torch.linalg.qr(gaussian(torch.stack([edit.b1, edit.b2], 1))).Q.float()
        return Rotate(plane[:, 0].contiguous(), plane[:, 1].contiguous())
    if not edit.directions:
        raise SteerdoseError(f"there is no random control of the edit {type(edit).__name__}")
    tensors = edit.tensors()
    for name in edit.directions:
        random = gaussian(tensors[name])
        norms = [v.double().norm(dim=-1, keepdim=True) for v in (tensors[name], random)]
        tensors[name] = (random * norms[0] / norms[1]).float()
    return type(edit)(**tensors)


def draw_control(*, source: str, cell: Cell, settings: DrawControl, entry: str, steering: str, geometry: str) -> None:
    """Write the random control of another method's steering, and its geometry.json.

    The draw depends on model, behavior, seed, `of` (the method that is copied in kind and norm) and `draw` (which of
    its random copies this is) alone.
    """
    copied, method = Steering.load(source), settings.method
    generator = torch.Generator().manual_seed(seed_from("control", *cell.parts, method.of, method.draw))
    try:
        edits = tuple((path, randomise(edit, generator)) for path, edit in copied.edits)
    except SteerdoseError as error:
        raise SteerdoseError(f"methods.{entry}.of: '{method.of}': {error}") from error
    control = Steering(entry, edits, origin(cell, settings, copied.metadata["model_sha256"]))
    control.save(steering)
    write_json({"method": entry, "modules": control.describe()}, geometry)
