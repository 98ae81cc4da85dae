"""What a trained delta changes: the stream under it and against it, and the weights. Nothing else here reads one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from steerdose.cuts.whole import Whole, decomposed
from steerdose.make.captures import capture
from steerdose.model.loading import LoadedModel
from steerdose.model.residual import READERS, ResidualView
from steerdose.steering.edit import Edit
from steerdose.steering.edits import Dense, LowRank, matrix
from steerdose.steering.steering import Steering, steer
from steerdose.subspaces.scores import mean_of, of_delta, of_differences

WRITTEN, READ = ("o", "down"), READERS
SPECIFIC = "specific"  # the target `stream` beside the directions in which clean prompts vary anyway
Factors = Mapping[str, Tensor]  # of every label that is there, by what it is of


@dataclass(frozen=True)
class Labels:
    """By block what there is to be recovered.

    factors: of `scores`, by target. rows: of the activation label, (n, width), for what is specific; n_clean: how many
    directions are left out of the target `specific`, see `sweep.with_specific`. Targets: stream,
    the change of the residual stream at the last token; step, what the block adds to it; o and down, what the delta
    writes there; written, both alike; read, all that its readers read, in the stream's coordinates.
    """

    factors: tuple[Factors, ...]
    rows: tuple[Tensor, ...]
    n_clean: int = 0

    def space(self, target: str) -> int:
        """Return the width of the space that a target's random bases lie in."""
        return self.rows[0].shape[1] - (self.n_clean if target == SPECIFIC else 0)


def labels_of(
    loaded: LoadedModel,
    view: ResidualView,
    steering: Steering,
    coefficients: tuple[float, float],
    prompts: Sequence[Sequence[int]],
    *,
    batch_size: int,
    exact: bool = True,
) -> Labels:
    """Return the labels of a steering. coefficients: under it and against it, positive and negative.

    exact: its weights from their factors; else as they are after rounding to bfloat16.
    """
    sides = []
    for coefficient in coefficients:
        with steer(loaded.model, steering, coefficient):
            found = capture(loaded, view.paths, prompts, batch_size)
        sides.append(torch.stack([found[path] for path in view.paths]))
    change = sides[0] - sides[1]
    before = torch.cat([torch.zeros_like(change[:1]), change[:-1]])
    weights = of_weights(loaded, view, steering, exact=exact)
    factors = []
    for i in range(len(view.paths)):
        there = {"stream": of_differences(change[i]), "step": of_differences(change[i] - before[i]), **weights[i]}
        factors.append({name: each for name, each in there.items() if each is not None})
    return Labels(tuple(factors), tuple(change))


def of_weights(loaded: LoadedModel, view: ResidualView, steering: Steering, *, exact: bool) -> list[Factors]:
    """Return of every block the labels of what a weight delta writes and reads; none of an edit of outputs."""
    modules = dict(loaded.model.named_modules())
    weight_edits = tuple((path, edit) for path, edit in steering.edits if edit.is_weight_delta)
    by_path = Whole(weight_edits).by_path if weight_edits else {}
    found: list[Factors] = []
    for block in view.blocks:
        own: dict[str, Tensor] = {}
        for role, (path, rows) in block.sources.items():
            if path not in by_path:
                continue
            edit = by_path[path] if exact else _rounded(by_path[path], modules[path].weight)
            factor = of_delta(_factor(edit, rows, block.norms[role].gain if role in READ else None))
            if factor is not None:
                own[role] = factor
        made = {name: [own[role] for role in roles if role in own] for name, roles in (("written", WRITTEN),
                                                                                       ("read", READ))}  # fmt: skip
        means = {name: mean_of(each) for name, each in made.items() if each}
        found.append({**{role: own[role] for role in WRITTEN if role in own}, **means})
    return found


def _factor(edit: Edit, rows: Tensor | None, gain: Tensor | None) -> Tensor:
    """Return U s of a writer's delta; of a reader's, V s with the norm's gain folded in. (width, r)."""
    if rows is not None:
        edit = LowRank(A=edit.A, B=edit.B[rows]) if isinstance(edit, LowRank) else Dense(matrix(edit)[rows].float())
    U, s, Vh = decomposed(edit)
    return U * s if gain is None else (Vh.T * s) * gain[:, None].double()


def _rounded(edit: Edit, weight: Tensor) -> Edit:
    """Return a delta as it is between two weights in bfloat16."""
    W = weight.detach().float().cpu()
    dW = matrix(edit).float()
    W = W if W.shape == dW.shape else W.T
    return Dense(((W + dW).bfloat16().float() - W.bfloat16().float()).contiguous())
