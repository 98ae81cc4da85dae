"""Every hypothesis against every label: how much of it each basis holds, over chance and of what could be held."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from steerdose.subspaces.labels import Labels
from steerdose.subspaces.linear import overlap
from steerdose.subspaces.registry import HYPOTHESES, Built
from steerdose.subspaces.scores import (
    best,
    chance_variance,
    effective_dimension,
    excess,
    recovery,
    specific,
)

SPECIFIC = "specific"  # the target `stream` beside the directions in which clean prompts vary anyway
CLEAN = "layer_clean_resid_pca"
NO_LABEL = "no label"
CLEAN_WIDTH = 8


def swept(
    bases: Iterable[Built], labels: Labels, blocks: Sequence[int], widths: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Yield a row a hypothesis, block, target and width: R, its chance, the best R of that width, and the excess.

    What cannot be scored has no number, and a status that says why. blocks: those that the delta edits.
    """
    known = [each for each in bases if each.block in {*blocks}]
    clean = {each.block: each.basis.Q[:, :CLEAN_WIDTH] for each in known if each.name == CLEAN and each.basis}
    for each in known:
        key = {"subspace": each.name, "block": each.block, **_kind(each.name)}
        if each.basis is None or not each.basis.Q.shape[1]:
            yield {**key, "status": each.status}
            continue
        factors = labels.factors[each.block]
        if not factors:
            yield {**key, "status": NO_LABEL}
            continue
        for width in (w for w in widths if w <= each.basis.Q.shape[1]):
            Q = each.basis.Q[:, :width]
            told = {**key, "width": width, "status": each.status, "gap": each.basis.gap(width)}
            for target, factor in factors.items():
                yield {**told, "target": target, **_scored(factor, Q)}
            if each.block in clean and each.name != CLEAN:
                yield from _specific(told, labels.rows[each.block], Q, clean[each.block])


def by_prompt(
    bases: Iterable[Built], labels: Labels, blocks: Sequence[int], widths: Sequence[int]
) -> dict[tuple[str, int], Tensor]:
    """Return R of the target `stream` by hypothesis and width, of every prompt the mean over blocks, (n,).

    Their mean over prompts is the mean over blocks of what `swept` has, where no prompt's change is zero; they are what
    is resampled to say how sure it is.
    """
    found: dict[tuple[str, int], list[Tensor]] = {}
    for each in bases:
        if each.block not in blocks or each.basis is None:
            continue
        rows = labels.rows[each.block].double()
        unit = rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
        energy = (unit @ each.basis.Q).square().cumsum(1)
        for width in (w for w in widths if w <= energy.shape[1]):
            found.setdefault((each.name, width), []).append(energy[:, width - 1] * rows.shape[1] / width)
    return {key: torch.stack(own).mean(0) for key, own in found.items()}


def _kind(name: str) -> dict[str, str]:
    return {"family": HYPOTHESES[name].family, "axis": HYPOTHESES[name].axis}


def _scored(factor: Tensor, Q: Tensor) -> dict[str, float | None]:
    R, width = recovery(factor, Q), Q.shape[1]
    own = best(factor, width)
    most = float(factor[:, :width].square().sum()) * len(factor) / width
    told = overlap(Q, own)
    return {
        "recovery": R,
        "chance_sd": chance_variance(factor, width) ** 0.5,
        "best": most,
        "excess": excess(R, most),
        "effective_dimension": effective_dimension(factor),
        "cosine": told and told[0],
    }


def _specific(told: dict[str, Any], rows: Tensor, Q: Tensor, clean: Tensor) -> Iterator[dict[str, Any]]:
    found = specific(rows, Q, clean)
    if found is not None:
        yield {**told, "target": SPECIFIC, "recovery": found[0], "width_left": found[1]}
