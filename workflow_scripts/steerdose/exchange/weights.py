"""Weights made elsewhere: PEFT adapters merged minus the base, and fine-tuned checkpoints minus the base."""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from steerdose.errors import SteerdoseError
from steerdose.exchange.target import Result, Target
from steerdose.make.delta import as_edits, combine
from steerdose.make.merged import AdapterDelta, linear_path
from steerdose.model.loading import load_model


def check_adapter(target: Target, folder: Path) -> None:
    """Note where a PEFT adapter does not fit: its base model's name, and modules that the model lacks."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
            names = list(file.keys())
    except (OSError, ValueError, SafetensorError) as error:
        raise SteerdoseError(
            f"{folder} is no readable PEFT adapter, which is adapter_config.json and adapter_model.safetensors "
            f"(pickled weights are refused; save them again with save_pretrained): {error}"
        ) from error
    target.check_base(config.get("base_model_name_or_path"))
    leaves = {path for path, module in target.modules.items() if path and not any(module.children())}
    lacking = set()
    for name in names:
        inner = name.removeprefix("base_model.model.")
        parts = inner.split(".")
        if inner != name and not any(".".join(parts[:n]) in leaves for n in range(1, len(parts))):
            lacking.add(name)
    target.problems += [f"{name}: the model has no such module" for name in sorted(lacking)]


def import_adapters(target: Target, sources: Sequence[Path], mode: str) -> Result:
    """Return the weight delta of one adapter, or of two in a mode of `delta.MODES`."""
    for source in sources:
        check_adapter(target, source)
    target.finish()
    base = load_model(target.directory, train=True).model
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Found missing adapter keys")
            sides = [AdapterDelta(base, source) for source in sources]
    except UserWarning as error:
        raise SteerdoseError(
            f"the adapter lacks weights for modules of this model, so it was made for another one: {error}"
        ) from error
    if len(sides) > 1:
        return combine(sides[0], sides[1], mode)
    edits, report = as_edits(sides[0].items())
    if not edits:
        raise sides[0].is_zero()
    return edits, report


@dataclass(frozen=True)
class Checkpoint:
    """Open safetensors shards: (file, name in the file) by the parameter's name in the model."""

    tensors: dict[str, tuple[Any, str]]

    def shape(self, name: str) -> tuple[int, ...]:
        file, raw = self.tensors[name]
        return tuple(file.get_slice(raw).get_shape())

    def read(self, name: str) -> Tensor:
        file, raw = self.tensors[name]
        return file.get_tensor(raw).double()


def open_checkpoint(target: Target, folder: Path, stack: ExitStack) -> Checkpoint:
    """Open the shards of a model directory; tied weights count once, and files may leave out the model's prefix."""
    prefix, tied = f"{target.model.base_model_prefix}.", target.model.all_tied_weights_keys
    parameters = {name for name, _ in target.model.named_parameters(remove_duplicate=False)}
    tensors = {}
    try:
        for shard in sorted(folder.glob("*.safetensors")):
            file = stack.enter_context(safe_open(shard, framework="pt"))
            for raw in file.keys():  # noqa: SIM118
                name = next((n for n in (raw, prefix + raw, raw.removeprefix(prefix)) if n in parameters), raw)
                tensors[tied.get(name, name)] = (file, raw)
    except (OSError, SafetensorError) as error:
        raise SteerdoseError(f"{folder} has an unreadable shard (truncated?): {error}") from error
    return Checkpoint(tensors)


def import_checkpoints(target: Target, sources: Sequence[Path], mode: str) -> Result:  # noqa: ARG001
    """Return a fine-tuned model minus the base, or a positive minus a negative one, read tensor by tensor.

    A difference of two files in bfloat16 carries their rounding; where small updates matter, save in float32.
    """
    with ExitStack() as stack:
        base, *sides = (open_checkpoint(target, folder, stack) for folder in (target.directory, *sources))
        for source, side in zip(sources, sides, strict=True):
            _compare(target, base, side, source.name)
        target.finish()
        plus, minus = sides[0], sides[1] if len(sides) > 1 else base
        weights = {name: linear_path(target.modules, name) for name in base.tensors if not _ignored(target, name)}
        for name in [name for name, path in weights.items() if path is None]:
            if not torch.equal(plus.read(name), minus.read(name)):
                target.problems.append(
                    f"{name} differs, and only weights of linear layers can be steered; to leave it as it is in the "
                    "base, add its name or a pattern like *norm.weight to the method's `ignore`"
                )
        target.finish()

        def changed() -> Iterator[tuple[str, Tensor]]:
            for name, path in weights.items():
                if path is not None:
                    delta = plus.read(name) - minus.read(name)
                    yield path, delta.T if isinstance(target.modules[path], Conv1D) else delta

        return as_edits(changed())


def _ignored(target: Target, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in target.ignore)


def _compare(target: Target, base: Checkpoint, side: Checkpoint, source: str) -> None:
    """Note where the parameters of a checkpoint and of the base are not the same, or not of the same shapes."""

    def differing() -> Iterator[str]:
        for name in sorted(base.tensors.keys() | side.tensors.keys()):
            if _ignored(target, name):
                continue
            if name not in side.tensors:
                yield f"{source} lacks {name}, which the model has"
            elif name not in base.tensors:
                yield f"{source} holds {name}, which the model lacks"
            elif base.shape(name) != side.shape(name):
                yield f"{name}: shape {side.shape(name)} in {source}, {base.shape(name)} in the model"

    target.problems += differing()
    for pattern in target.ignore:
        if pattern != "base_model" and not any(fnmatchcase(name, pattern) for name in base.tensors | side.tensors):
            target.problems.append(f"ignore: '{pattern}' names no parameter")
