"""Activation (RepE) steering: one edit a module, fitted to captured activations, and its stability."""

import logging
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from steerdose.columns import Cell
from steerdose.errors import SteerdoseError
from steerdose.files import write_json
from steerdose.make.captures import Captured
from steerdose.make.contrast import Contrast
from steerdose.make.estimators import ESTIMATORS
from steerdose.model.architecture import block_at
from steerdose.model.loading import load_model
from steerdose.seeds import seed_from
from steerdose.steering.edits import Edit
from steerdose.steering.steering import Steering, origin
from steerdose.study.methods import Activation
from steerdose.study.settings import FitRepe

log = logging.getLogger(__name__)

SPLITS = 10  # random halvings of the prompts for the stability
SMALL_DOSE = 0.1  # the coefficient at which the changes of two fits are compared


def stability(contrast: Contrast, prompts: Sequence[str], fit: Callable[[Contrast], Edit], seed: int) -> float | None:
    """Return the mean cosine between what fits on random halves of the prompts do; None where halves are too small.

    prompts: one text a row of the contrast; equal texts stay together. Compared are the changes that the two edits
    make, at a small coefficient, to all activations of the contrast. For an added direction that is the cosine of the
    two directions, and it is defined for every other edit as well.
    """
    distinct, y = sorted(set(prompts)), torch.cat([contrast.positive, contrast.negative])[None]
    group = torch.tensor([distinct.index(prompt) for prompt in prompts])
    generator, cosines = torch.Generator().manual_seed(seed), []
    for _ in range(SPLITS if len(distinct) > 1 else 0):
        first = torch.randperm(len(distinct), generator=generator)[group] < len(distinct) // 2
        try:
            edits = [fit(contrast.rows(half)) for half in (first, ~first)]
        except SteerdoseError as error:
            log.info("no stability: %s", error)
            return None
        a, b = (edit.change(y, y, torch.tensor(SMALL_DOSE)).expand_as(y).double().flatten() for edit in edits)
        cosines.append(torch.cosine_similarity(a, b, dim=0))
    return float(torch.stack(cosines).mean()) if cosines else None


def contrasts(captured: Captured, method: Activation, model: str) -> dict[str, Contrast]:
    """Return the contrast at the module of each depth's block, by module path; with the module where weights count."""
    chosen = dict.fromkeys(captured.modules[block_at(depth, len(captured.modules))] for depth in method.depths)
    modules: dict[str, nn.Module] = {}
    if method.fitted.weights:
        modules = dict(load_model(model, train=True).model.named_modules())
    return {path: Contrast(captured.positive[path], captured.negative[path], modules.get(path)) for path in chosen}


def fit_repe(
    *, model: str, activations: str, cell: Cell, settings: FitRepe, entry: str, steering: str, geometry: str
) -> None:
    """Write steering/{entry}.safetensors and its geometry.json.

    `shuffle_labels` makes a control: the labels of each pair are exchanged with chance 1/2.
    """
    method, captured = settings.method, Captured.load(activations)
    fit = partial(ESTIMATORS[method.estimator], **method.fitted.model_dump())
    try:
        found = contrasts(captured, method, model)
        if method.shuffle_labels:
            generator = torch.Generator().manual_seed(seed_from("shuffle_labels", *cell.parts, entry))
            swap = torch.rand(len(captured.prompts), generator=generator) < 0.5
            found = {path: contrast.swapped(swap) for path, contrast in found.items()}
        edits = {path: fit(contrast) for path, contrast in found.items()}
    except SteerdoseError as error:
        raise SteerdoseError(f"methods.{entry}: {error}") from error
    try:
        fitted = Steering(entry, tuple(edits.items()), origin(cell, settings, captured.model_sha256))
    except SteerdoseError as error:
        raise SteerdoseError(f"{error}. Do the personas of this behavior differ? See data.personas.") from error
    modules = [
        {
            **described,
            "norm_mean_difference": float(contrast.mean_difference.norm()),
            "stability": stability(contrast, captured.prompts, fit, seed_from("halves", *cell.parts, entry)),
        }
        for described, contrast in zip(fitted.describe(), found.values(), strict=True)
    ]
    fitted.save(steering)
    write_json({"method": entry, "modules": modules}, geometry)
