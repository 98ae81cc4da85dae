"""Activation (RepE) steering: activations under opposite personas, and the methods that make a direction of them."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl
import torch
from torch import Tensor

from . import chat
from .errors import SteerdoseError
from .models import LoadedModel, find_blocks, load_model
from .progress import bar
from .steering import Add, Edit, Steering
from .tables import read_table, write_json

log = logging.getLogger(__name__)

Estimator = Callable[[Tensor, Tensor], Edit]


def mean_diff(positive: Tensor, negative: Tensor) -> Edit:
    """Add the unit vector along the difference of means. positive, negative: (prompts, width).

    Source: contrastive activation addition, Rimsky et al. 2024 (arXiv:2312.06681), with the direction normalised.
    """
    v = positive.double().mean(0) - negative.double().mean(0)
    return Add((v / v.norm().clamp_min(torch.finfo(torch.float64).tiny)).float())


ESTIMATORS: dict[str, Estimator] = {"mean_diff": mean_diff}


def capture(
    loaded: LoadedModel, modules: Sequence[str], prompts: Sequence[Sequence[int]], batch_size: int
) -> dict[str, Tensor]:
    """Return each module's output at the last token of every prompt, (prompts, width), fp32 on the CPU.

    Prompts of equal length share a batch, so nothing is ever padded and the padding side cannot matter.
    """
    found: dict[str, list[Tensor | None]] = {path: [None] * len(prompts) for path in modules}
    layers = dict(loaded.model.named_modules())
    by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    batch: list[int] = []

    def keep(path: str) -> Callable[..., None]:
        def hook(_module: Any, _args: Any, output: Any) -> None:
            y = output[0] if isinstance(output, tuple) else output
            for i, row in zip(batch, y[:, -1].float().cpu(), strict=True):
                found[path][i] = row

        return hook

    handles = [layers[path].register_forward_hook(keep(path)) for path in modules]
    try:
        with torch.inference_mode(), bar(len(prompts), "activations") as progress:
            while by_length:
                length = len(prompts[by_length[0]])
                batch[:] = [i for i in by_length[:batch_size] if len(prompts[i]) == length]
                by_length = by_length[len(batch) :]
                loaded.model(torch.tensor([prompts[i] for i in batch], device=loaded.device), logits_to_keep=1)
                progress.update(len(batch))
    finally:
        for handle in handles:
            handle.remove()
    return {path: torch.stack([row for row in rows if row is not None]) for path, rows in found.items()}


def fit_direction(loaded: LoadedModel, pairs: pl.DataFrame, method: dict[str, Any], batch_size: int) -> dict[str, Edit]:
    """Fit one edit a layer from persona-conditioned prompts: same rendering for both sides, last prompt token.

    method: `estimator` (a key of ESTIMATORS) and `depths`, fractions of the number of blocks.
    """
    blocks = find_blocks(loaded.model)
    paths = [blocks[min(int(depth * len(blocks)), len(blocks) - 1)] for depth in method["depths"]]
    unique = pairs.unique(["prompt", "persona_pos", "persona_neg"], maintain_order=True)
    sides = []
    for side in ("persona_pos", "persona_neg"):
        prompts = [
            chat.prompt_ids(loaded.tokenizer, chat.conversation(row["prompt"], row[side]))
            for row in unique.iter_rows(named=True)
        ]
        sides.append(capture(loaded, paths, prompts, batch_size))
    estimator = ESTIMATORS[method["estimator"]]
    return {path: estimator(sides[0][path], sides[1][path]) for path in paths}


def fit_repe(
    *,
    model: str,
    pairs: str,
    method: str,
    settings: dict[str, Any],
    metadata: dict[str, str],
    output: str,
    geometry: str,
) -> None:
    """Write steering/{method}.safetensors and its geometry.json."""
    loaded = load_model(model, dtype=settings["dtype"], device=settings["device"])
    edits = fit_direction(loaded, read_table(pairs), settings["method"], settings["batch_size"])
    try:
        steering = Steering(method, tuple(edits.items()), {**metadata, "model_sha256": loaded.sha256})
    except SteerdoseError as error:
        raise SteerdoseError(f"{error}. Do the personas of this behavior differ? See data.personas.") from error
    steering.save(output)
    write_json({"modules": [{"module": path, "edit": type(edit).__name__} for path, edit in edits.items()]}, geometry)
