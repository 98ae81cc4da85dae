"""Random weight deltas as long as a trained one, and the trained one with other lengths: what a part is compared with.

They are no parts: nothing is left of the delta without them. A function returns the edits of one copy.
"""

import math

import torch

from steerdose.cuts.whole import Placed, Whole, module_of
from steerdose.errors import SteerdoseError
from steerdose.seeds import seed_from
from steerdose.steering.edit import Edit
from steerdose.steering.edits import Dense, LowRank, matrix


def random(whole: Whole, name: str) -> list[Placed]:
    """Any push of these lengths does it: a Gaussian matrix in every module, as long as the delta there."""
    return [(path, _gaussian(whole, path, name, edit.norm() or 0.0)) for path, edit in whole.edits]


def random_overall(whole: Whole, name: str) -> list[Placed]:
    """Any push of this length does it: one Gaussian over all modules, as long as the delta is over all."""
    count = sum(edit.width * _inputs(edit) for _, edit in whole.edits)
    each = {path: math.sqrt(whole.squared * edit.width * _inputs(edit) / count) for path, edit in whole.edits}
    return [(path, _gaussian(whole, path, name, length)) for path, length in each.items()]


def random_module(whole: Whole, name: str) -> list[Placed]:
    """Any push in modules of this name does it: Gaussian matrices as long as the delta there, and nowhere else."""
    chosen = [(path, edit) for path, edit in whole.edits if module_of(path) == name]
    if not chosen:
        there = list(dict.fromkeys(module_of(path) for path, _ in whole.edits))
        raise SteerdoseError(f"it has no module {name}; it has {there}")
    return [(path, _gaussian(whole, path, name, edit.norm() or 0.0)) for path, edit in chosen]


def directions(whole: Whole, name: str) -> list[Placed]:  # noqa: ARG001
    """The directions do it, whatever their lengths: every module's delta rescaled to the same length.

    `random` has the lengths and other directions; so DeLoRA's lambda and its directions are told apart.
    """
    common = math.sqrt(whole.squared / len(whole.edits))
    return [(path, scaled(edit, common / (edit.norm() or 1.0))) for path, edit in whole.edits]


def scaled(edit: Edit, factor: float) -> Edit:
    """Return a weight delta times a number."""
    return LowRank(A=edit.A, B=edit.B * factor) if isinstance(edit, LowRank) else Dense((matrix(edit) * factor).float())


def _inputs(edit: Edit) -> int:
    return int((edit.A if isinstance(edit, LowRank) else edit.tensors()["dW"]).shape[1])


def _gaussian(whole: Whole, path: str, name: str, length: float) -> Edit:
    """Return a Gaussian matrix of a length; of a low rank, where the delta is, a product of Gaussian factors."""
    edit = whole.by_path[path]
    generator = torch.Generator().manual_seed(seed_from("cut", *whole.draw, name, path))
    drawn = {field: torch.randn(each.shape, generator=generator) for field, each in edit.tensors().items()}
    copy = type(edit)(**drawn)
    return scaled(copy, length / (copy.norm() or 1.0))
