"""Vectors made elsewhere: by llama.cpp, repeng, steering-vectors, safetensors or numpy. Pickled code never runs."""

import logging
import pickle
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from steerdose.errors import SteerdoseError
from steerdose.exchange.target import Result, Target
from steerdose.steering.edits import Add

log = logging.getLogger(__name__)

LAYER_NAME = re.compile(r"(?:(?:model\.)?layers?\.)?(\d+)")
ACCEPTED_NAMES = "0, layer.0, layers.0 or model.layers.0 for the output of block 0, or a module's full path"


def read_control_vector(target: Target, path: Path) -> dict[str, Tensor]:
    """Read a control vector of llama.cpp or repeng, one GGUF tensor `direction.{k}` a layer.

    `direction.k` is added to the output of layer k, counted from 0: llama.cpp stores it at offset k - 1 and reads it
    back from there for layer k (common_control_vector_load_one, llama_adapter_cvec::apply, called behind the feed
    forward). There is no direction.0. `layer_count` is the number of directions, or that of the layers but one, so
    only a count above the model's layers is wrong for sure.
    """
    try:
        file = gguf.GGUFReader(path)
        keys = ("general.architecture", "controlvector.model_hint", "controlvector.layer_count")
        kind, hint, count = (str(found.contents()) if (found := file.get_field(key)) else "" for key in keys)
        n_layers = int(count or 0)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise SteerdoseError(f"{path} is not a readable GGUF file (truncated or another format?): {error}") from error
    if kind != "controlvector":
        raise SteerdoseError(
            f"{path} is a GGUF file of architecture '{kind}', not a control vector; a model belongs under "
            "models.<name>.source"
        )
    target.check_architecture(hint)
    if n_layers > len(target.blocks):
        target.problems.append(f"controlvector.layer_count is {n_layers}, the model has {len(target.blocks)} layers")
    vectors = {}
    for tensor in file.tensors:
        match = re.fullmatch(r"direction\.(\d+)", tensor.name)
        if match is None or int(match[1]) == 0:
            target.problems.append(f"{tensor.name}: expected direction.1, direction.2, ... (llama.cpp has no other)")
        elif tensor.tensor_type != gguf.GGMLQuantizationType.F32:
            target.problems.append(f"{tensor.name}: expected F32 as llama.cpp does, found {tensor.tensor_type.name}")
        elif block := target.block(int(match[1]), tensor.name):
            vectors[block] = target.checked(block, tensor.name, torch.from_numpy(np.array(tensor.data)))
    return vectors


class _SteeringVector:
    """Stands in for steering-vectors' class: torch's restricted unpickler sets its attributes and runs nothing."""


def read_steering_vectors(target: Target, path: Path) -> dict[str, Tensor]:
    """Read a `SteeringVector` of the library steering-vectors, saved by torch; or its {layer: vector} alone.

    layer_type `decoder_block` is the block; `self_attn`, `mlp` and the norms are that module inside it. The vector is
    added to the module's output at every position.
    """
    try:  # weights_only: tensors, numbers and containers; nothing in the file can name code to run
        with torch.serialization.safe_globals([(_SteeringVector, "steering_vectors.steering_vector.SteeringVector")]):
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SteerdoseError(
            f"{path} does not load without running pickled code, which steerdose never does. Where the vector sv was "
            "made, save its tensors alone: torch.save({'layer_activations': sv.layer_activations, 'layer_type': "
            "sv.layer_type}, path)"
        ) from error
    except Exception as error:  # damaged bytes raise nearly anything
        raise SteerdoseError(
            f"{path} is not a readable file of torch.save (truncated or another format?): {error}"
        ) from error
    found = vars(found) if isinstance(found, _SteeringVector) else found
    wrapped = isinstance(found, dict) and "layer_activations" in found
    layers, kind = (found["layer_activations"], found.get("layer_type")) if wrapped else (found, None)
    if not isinstance(layers, dict) or not all(type(k) is int and isinstance(v, Tensor) for k, v in layers.items()):
        raise SteerdoseError(
            f"{path}: expected {{layer number: tensor}} or {{'layer_activations': ..., 'layer_type': ...}}"
        )
    inside = "" if kind in (None, "decoder_block") else f".{kind}"
    vectors = {}
    for layer, vector in layers.items():
        if block := target.block(layer, f"layer {layer}"):
            if block + inside in target.modules:
                vectors[block + inside] = target.checked(block + inside, f"layer {layer}", vector)
            else:
                target.problems.append(f"layer_type '{kind}': {block} has no such module")
    return vectors


def read_vectors(target: Target, path: Path) -> dict[str, Tensor]:
    """Read a safetensors or npz file of vectors by layer or module path; each is added to that module's output."""
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                found = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        else:
            found = load_file(path)
    except (OSError, ValueError, TypeError, RuntimeError, EOFError, zipfile.BadZipFile, SafetensorError) as error:
        raise SteerdoseError(
            f"{path} is not a readable safetensors or npz file of numbers (truncated, or pickled, which is refused?): "
            f"{error}"
        ) from error
    vectors: dict[str, Tensor] = {}
    for name, vector in found.items():
        match = LAYER_NAME.fullmatch(name)
        place = target.block(int(match[1]), name) if match else name
        if place is None:
            continue
        if place not in target.modules:
            target.problems.append(f"{name}: no such module; accepted are {ACCEPTED_NAMES} (like {target.blocks[-1]})")
        elif place in vectors:
            target.problems.append(f"{name}: a second vector for {place}")
        else:
            vectors[place] = target.checked(place, name, vector)
    return vectors


def import_vectors(
    read: Callable[[Target, Path], dict[str, Tensor]],
    target: Target,
    sources: Sequence[Path],
    mode: str,  # noqa: ARG001
) -> Result:
    """Return one `Add` a module: the positive vectors, or positive minus negative. Zero vectors are left out."""
    sides = [read(target, source) for source in sources]
    if len({frozenset(side) for side in sides}) > 1:
        target.problems.append(f"positive and negative name different layers: {sorted(sides[0].keys() ^ sides[1])}")
    target.finish()
    vectors = sides[0] if len(sides) < 2 else {path: sides[0][path] - sides[1][path] for path in sorted(sides[0])}
    if zeros := [path for path, vector in vectors.items() if not vector.any()]:
        log.info("no edit, since the vector is zero, at %s", zeros)
    return {path: Add(vector.float()) for path, vector in vectors.items() if vector.any()}, {}
