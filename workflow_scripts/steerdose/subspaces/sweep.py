"""Every hypothesis against every label: how much of it each basis holds, over chance and of what could be held."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from steerdose.columns import Cell
from steerdose.declarations.subspaces import SUBSPACE_PROMPTS, SUBSPACE_SCORES, SUBSPACE_SUMMARY
from steerdose.errors import SteerdoseError
from steerdose.files import read_json, typed, write_table
from steerdose.model import chat
from steerdose.model.loading import load_model
from steerdose.model.residual import residual_view
from steerdose.steering.steering import Steering
from steerdose.study.settings import SweepSubspaces
from steerdose.study.texts import load_prompts
from steerdose.subspaces.bases import read_subspaces
from steerdose.subspaces.labels import SPECIFIC, Labels, labels_of
from steerdose.subspaces.linear import overlap
from steerdose.subspaces.registry import Built
from steerdose.subspaces.scores import (
    basis_beside,
    best,
    chance_variance,
    effective_dimension,
    excess,
    label_beside,
    recovery,
)
from steerdose.subspaces.summary import Chance, summarised

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
    clean = clean_of(known)
    for each in known:
        key = {"subspace": each.name, "block": each.block, "family": each.family, "axis": each.axis}
        if each.basis is None or not each.basis.Q.shape[1]:
            yield {**key, "status": each.status}
            continue
        factors = labels.factors[each.block]
        if not factors:
            yield {**key, "status": NO_LABEL}
            continue
        for width in (w for w in widths if w <= each.basis.Q.shape[1]):
            Q = each.basis.Q[:, :width]
            told = {**key, "width": width, "status": each.status}
            for target, factor in factors.items():
                space = labels.space(target)
                if target != SPECIFIC:
                    yield {**told, "target": target, **_scored(factor, Q, space)}
                elif (left := basis_beside(Q, clean[each.block])).shape[1] and each.name != CLEAN:
                    yield {**told, "target": target, "width_left": left.shape[1], **_scored(factor, left, space)}


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


def clean_of(bases: Iterable[Built]) -> dict[int, Tensor]:
    """Return by block the directions in which clean prompts vary anyway."""
    return {each.block: each.basis.Q[:, :CLEAN_WIDTH] for each in bases if each.name == CLEAN and each.basis}


def with_specific(labels: Labels, clean: Mapping[int, Tensor]) -> Labels:
    """Return labels with one more target: of `stream` what is orthogonal to clean directions."""
    own = {block: label_beside(labels.rows[block], Q) for block, Q in clean.items()}
    factors = tuple(
        {**each, SPECIFIC: factor} if (factor := own.get(i)) is not None else each
        for i, each in enumerate(labels.factors)
    )
    return Labels(factors, labels.rows, max((Q.shape[1] for Q in clean.values()), default=0))


def _scored(factor: Tensor, Q: Tensor, space: int) -> dict[str, float | None]:
    """Return what a basis recovers. space: width of what both lie in."""
    R, width = recovery(factor, Q, space), Q.shape[1]
    own = best(factor, width)
    most = float(factor[:, :width].square().sum()) * space / width
    told = overlap(Q, own)
    return {
        "recovery": R,
        "chance_sd": chance_variance(factor, width, space) ** 0.5,
        "best": most,
        "excess": excess(R, most),
        "effective_dimension": effective_dimension(factor),
        "cosine": told and told[0],
    }


def sweep_subspaces(
    *, model: str, steering: str, doses: str, bases: str, told: str, prompts: str, method: str, cell: Cell,
    settings: SweepSubspaces, scores: str, summary: str, recovered: str,
) -> None:  # fmt: skip
    """Write what every hypothesis recovers of one method's delta: by block, over blocks, and by held-out prompt.

    Raises SteerdoseError for a method without weights that write to the stream, and for too few held-out prompts.
    """
    loaded = load_model(model, settings.run)
    view = residual_view(loaded.model, loaded.tokenizer)
    heldout = [each.prompt for each in load_prompts(prompts) if each.split == "heldout"][: settings.n_heldout]
    if len(heldout) < settings.n_heldout:
        raise SteerdoseError(f"subspaces.n_heldout: {settings.n_heldout} wanted, {prompts} has {len(heldout)}")
    found = read_json(doses)[method]
    coefficients = [sign * settings.alpha * found[name]["c_star"] for name, sign in (("positive", 1), ("negative", -1))]
    rendered = [chat.prompt_ids(loaded.tokenizer, chat.conversation(text)) for text in heldout]
    labels = labels_of(
        loaded, view, Steering.load(steering), (coefficients[0], coefficients[1]), rendered,
        batch_size=settings.batch_size, exact=settings.exact,
    )  # fmt: skip
    blocks = [i for i, factors in enumerate(labels.factors) if "written" in factors]
    if not blocks:
        raise SteerdoseError(f"'{method}' writes nothing to the residual stream that could be looked for")
    every = read_subspaces(bases, told)
    if unknown := sorted({*blocks} - {each.block for each in every}):
        raise SteerdoseError(f"'{method}' edits blocks {unknown} without bases; widen subspaces.layer_range")
    labels = with_specific(labels, clean_of(every))
    rows = list(swept(every, labels, blocks, settings.widths))
    means = summarised(rows, Chance(labels, blocks), {each.name: each.scope for each in every})
    by = by_prompt(every, labels, blocks, settings.widths)
    each = [
        {"subspace": name, "width": width, "prompt": i, "recovery": value}
        for (name, width), values in by.items()
        for i, value in enumerate(values.tolist())
    ]
    for path, table, own in (
        (scores, SUBSPACE_SCORES, rows), (summary, SUBSPACE_SUMMARY, means), (recovered, SUBSPACE_PROMPTS, each)
    ):  # fmt: skip
        write_table(typed(own, table, cell), path, table)
