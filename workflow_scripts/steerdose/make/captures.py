"""Activations under opposite personas: what every estimator is fitted to, read once for all of them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch
from safetensors import safe_open
from torch import Tensor

from steerdose.declarations.made import PAIRS
from steerdose.errors import SteerdoseError
from steerdose.files import read_table
from steerdose.flow.progress import Bar
from steerdose.model import chat
from steerdose.model.architecture import find_blocks
from steerdose.model.loading import LoadedModel, load_model
from steerdose.steering.storage import write_tensors
from steerdose.study.settings import CaptureActivations

RESIDUAL = "residual"  # in file names: the output of the whole block
INPUT = ".input"  # behind a submodule: what goes into it
SIDES = ("persona_pos", "persona_neg")


@dataclass(frozen=True)
class Captured:
    """Last-token activations of one module of every block, a row a prompt with its two personas.

    positive, negative: by module path, (prompts, width), fp32. prompts: the text of each row.
    """

    modules: tuple[str, ...]
    positive: dict[str, Tensor]
    negative: dict[str, Tensor]
    prompts: tuple[str, ...]
    model_sha256: str

    def save(self, path: str) -> None:
        sides = {"positive": self.positive, "negative": self.negative}
        tensors = {f"{side}.{module}": rows for side, found in sides.items() for module, rows in found.items()}
        lists = {"modules": json.dumps(self.modules), "prompts": json.dumps(self.prompts)}
        write_tensors(path, tensors, {**lists, "model_sha256": self.model_sha256})

    @classmethod
    def load(cls, path: str) -> "Captured":
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
            modules = tuple(json.loads(header["modules"]))
            sides = [{m: file.get_tensor(f"{side}.{m}") for m in modules} for side in ("positive", "negative")]
        return cls(modules, sides[0], sides[1], tuple(json.loads(header["prompts"])), header["model_sha256"])


def capture(
    loaded: LoadedModel, modules: Sequence[str], prompts: Sequence[Sequence[int]], batch_size: int
) -> dict[str, Tensor]:
    """Return each module's output at the last token of every prompt, (prompts, width), fp32 on the CPU.

    Of a path with `INPUT` behind it, what goes into the module.
    Prompts of equal length share a batch, so nothing is ever padded and the padding side cannot matter. Raises
    SteerdoseError for a module that flattens its batch, or that a prompt does not pass through.
    """
    found: dict[str, list[Tensor | None]] = {path: [None] * len(prompts) for path in modules}
    layers = dict(loaded.model.named_modules())
    by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    batch: list[int] = []

    def keep(path: str) -> Callable[..., None]:
        def hook(_module: Any, args: Any, output: Any) -> None:
            seen = args if path.endswith(INPUT) else output
            y = seen[0] if isinstance(seen, tuple) else seen
            if y.ndim != 3:
                raise SteerdoseError(f"{path} flattens its batch, so its activations cannot be told apart by prompt")
            for i, row in zip(batch, y[:, -1].float().cpu(), strict=True):
                found[path][i] = row

        return hook

    handles = [layers[path.removesuffix(INPUT)].register_forward_hook(keep(path)) for path in modules]
    try:
        with torch.inference_mode(), Bar(len(prompts), "activations") as progress:
            while by_length:
                length = len(prompts[by_length[0]])
                batch[:] = [i for i in by_length[:batch_size] if len(prompts[i]) == length]
                by_length = by_length[len(batch) :]
                loaded.model(torch.tensor([prompts[i] for i in batch], device=loaded.device), logits_to_keep=1)
                progress.update(len(batch))
    finally:
        for handle in handles:
            handle.remove()
    return {path: _stacked(path, rows) for path, rows in found.items()}


def _stacked(path: str, rows: Sequence[Tensor | None]) -> Tensor:
    read = [row for row in rows if row is not None]
    if len(read) != len(rows):
        raise SteerdoseError(
            f"{len(rows) - len(read)} of {len(rows)} prompts do not pass through {path}, so it has no activations "
            "there; choose another submodule"
        )
    return torch.stack(read)


def persona_prompts(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return every prompt with its two personas once, however many answers were sampled."""
    return pairs.unique(["prompt", *SIDES], maintain_order=True)


def modules_of_blocks(model: Any, submodule: str) -> list[str]:
    """Return the path of a submodule in every block that has it; of the blocks themselves for `RESIDUAL`.

    Behind a submodule `INPUT` may stand, and stands behind its paths.
    """
    blocks = find_blocks(model)
    if submodule == RESIDUAL:
        return blocks
    modules = dict(model.named_modules())
    inner = submodule.removesuffix(INPUT)
    found = [f"{block}.{submodule}" for block in blocks if f"{block}.{inner}" in modules]
    if not found:
        inside = [path.removeprefix(f"{blocks[0]}.") for path in modules if path.startswith(f"{blocks[0]}.")]
        raise SteerdoseError(f"submodule '{submodule}' does not exist in {blocks[0]}; it has {inside}")
    return found


def capture_activations(
    *, model: str, pairs: str, submodule: str, settings: CaptureActivations, activations: str
) -> None:
    """Write captures/{submodule}.safetensors: last-token activations of the module in all blocks, both personas."""
    loaded = load_model(model, settings.run)
    paths = modules_of_blocks(loaded.model, submodule)
    prompted = persona_prompts(read_table(pairs, PAIRS, ("prompt", *SIDES)))
    sides = []
    for side in SIDES:
        prompts = [
            chat.prompt_ids(loaded.tokenizer, chat.conversation(row["prompt"], row[side]))
            for row in prompted.iter_rows(named=True)
        ]
        sides.append(capture(loaded, paths, prompts, settings.batch_size))
    Captured(tuple(paths), sides[0], sides[1], tuple(prompted["prompt"]), loaded.sha256).save(activations)
