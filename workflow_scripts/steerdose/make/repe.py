"""Activation (RepE) steering: activations under opposite personas, one edit a module fitted to them, its stability."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import polars as pl
import torch
from torch import Tensor

from steerdose.errors import SteerdoseError
from steerdose.files import read_table, write_json
from steerdose.flow.progress import bar
from steerdose.make.estimators import ESTIMATORS, Contrast
from steerdose.model import chat
from steerdose.model.architecture import block_at, find_blocks
from steerdose.model.loading import LoadedModel, load_model
from steerdose.seeds import seed_from
from steerdose.steering.edits import Edit
from steerdose.steering.steering import Steering

log = logging.getLogger(__name__)

SPLITS = 10  # random halvings of the prompts for the stability
SMALL_DOSE = 0.1  # the coefficient at which the changes of two fits are compared


def capture(
    loaded: LoadedModel, modules: Sequence[str], prompts: Sequence[Sequence[int]], batch_size: int
) -> dict[str, Tensor]:
    """Return each module's output at the last token of every prompt, (prompts, width), fp32 on the CPU.

    Prompts of equal length share a batch, so nothing is ever padded and the padding side cannot matter. Raises
    SteerdoseError where a module does not run on some prompt, or flattens its batch.
    """
    found: dict[str, list[Tensor | None]] = {path: [None] * len(prompts) for path in modules}
    layers = dict(loaded.model.named_modules())
    by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    batch: list[int] = []

    def keep(path: str) -> Callable[..., None]:
        def hook(_module: Any, _args: Any, output: Any) -> None:
            y = output[0] if isinstance(output, tuple) else output
            if y.ndim != 3:
                raise SteerdoseError(f"{path} flattens its batch, so its activations cannot be told apart by prompt")
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
    return {path: torch.stack(_complete(path, rows)) for path, rows in found.items()}


def _complete(path: str, rows: list[Tensor | None]) -> list[Tensor]:
    """Return the rows; one that is missing would give those behind it to the wrong prompts."""
    read = [row for row in rows if row is not None]
    if len(read) < len(rows):
        raise SteerdoseError(
            f"{path} did not run on {len(rows) - len(read)} of {len(rows)} prompts, the first of them number "
            f"{rows.index(None)}: it takes part in some forwards only, as an expert does; choose another module"
        )
    return read


def edited_modules(model: Any, method: dict[str, Any]) -> list[str]:
    """Return the paths of the modules that a method edits: the block at each depth, or `submodule` inside it."""
    blocks, submodule = find_blocks(model), method.get("submodule")
    chosen = dict.fromkeys(blocks[block_at(depth, len(blocks))] for depth in method["depths"])
    if submodule is None:
        return list(chosen)
    modules = dict(model.named_modules())
    for block in chosen:
        if f"{block}.{submodule}" not in modules:
            inside = [path.removeprefix(f"{block}.") for path in modules if path.startswith(f"{block}.")]
            raise SteerdoseError(f"submodule '{submodule}' does not exist in {block}; it has {inside}")
    return [f"{block}.{submodule}" for block in chosen]


def persona_prompts(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return every prompt with its two personas once, however many answers were sampled."""
    return pairs.unique(["prompt", "persona_pos", "persona_neg"], maintain_order=True)


def read_contrasts(
    loaded: LoadedModel, prompted: pl.DataFrame, method: dict[str, Any], batch_size: int
) -> dict[str, Contrast]:
    """Return the activations at each edited module, a row a row of `prompted`: both rendered alike, last token."""
    paths = edited_modules(loaded.model, method)
    sides = []
    for side in ("persona_pos", "persona_neg"):
        prompts = [
            chat.prompt_ids(loaded.tokenizer, chat.conversation(row["prompt"], row[side]))
            for row in prompted.iter_rows(named=True)
        ]
        sides.append(capture(loaded, paths, prompts, batch_size))
    modules = dict(loaded.model.named_modules())
    return {path: Contrast(sides[0][path], sides[1][path], modules[path]) for path in paths}


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


def fit_repe(
    *,
    model: str,
    pairs: str,
    cell: dict[str, Any],
    settings: dict[str, Any],
    metadata: dict[str, str],
    output: str,
    geometry: str,
) -> None:
    """Write steering/{method}.safetensors and its geometry.json.

    settings: `method` is the config entry, with `estimator` (a key of ESTIMATORS), its `options`, `depths`,
    `submodule`, and `shuffle_labels`, which makes a control: the labels of each pair are exchanged with chance 1/2.
    """
    name, method = cell["method"], settings["method"]
    loaded = load_model(model, dtype=settings["dtype"], device=settings["device"])
    fit = partial(ESTIMATORS[method["estimator"]], **method.get("options", {}))
    prompted = persona_prompts(read_table(pairs))
    try:
        contrasts = read_contrasts(loaded, prompted, method, settings["batch_size"])
        if method.get("shuffle_labels"):
            generator = torch.Generator().manual_seed(seed_from("shuffle_labels", *cell.values()))
            swap = torch.rand(len(prompted), generator=generator) < 0.5
            contrasts = {path: contrast.swapped(swap) for path, contrast in contrasts.items()}
        edits = {path: fit(contrast) for path, contrast in contrasts.items()}
    except SteerdoseError as error:
        raise SteerdoseError(f"methods.{name}: {error}") from error
    try:
        steering = Steering(name, tuple(edits.items()), {**metadata, "model_sha256": loaded.sha256})
    except SteerdoseError as error:
        raise SteerdoseError(f"{error}. Do the personas of this behavior differ? See data.personas.") from error
    modules = [
        {
            **entry,
            "norm_mean_difference": float(contrast.mean_difference.norm()),
            "stability": stability(contrast, prompted["prompt"].to_list(), fit, seed_from("halves", *cell.values())),
        }
        for entry, contrast in zip(steering.describe(), contrasts.values(), strict=True)
    ]
    steering.save(output)
    write_json({"method": name, "modules": modules}, geometry)
