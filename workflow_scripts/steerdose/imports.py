"""Steerings made elsewhere: adapters, control vectors, files of vectors and fine-tuned checkpoints.

Whatever does not fit the model is collected and reported in one error; nothing is skipped that `ignore` does not name.
Pickle is never executed. A source is a local path or a hub id with a revision, `owner/name@revision`.
"""

import json
import logging
import math
import re
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from .delta import MODES, adapter_delta, factorise, geometry, linear_path, norm, relative_error, subtract
from .edits import Add, Edit
from .errors import SteerdoseError
from .models import find_blocks, load_model, text_config
from .sources import MODEL_FILES, fetch, sha256_of, weights_sha256
from .steering import Steering
from .tables import read_json, write_json

log = logging.getLogger(__name__)

LAYER_NAME = re.compile(r"(?:(?:model\.)?layers?\.)?(\d+)")
ACCEPTED_NAMES = "0, layer.0, layers.0 or model.layers.0 for the output of block 0, or a module's full path"
QUANTISATION = re.compile(r"[-.](i?q\d\w*|bf16|f16|f32|fp16|fp32)$")
GGUF_ARCHITECTURES = {"mistral": "llama", "mixtral": "llama"}  # where llama.cpp's name is no spelling of Hugging Face's
MAX_LISTED = 12

Report = dict[str, Any]  # what goes into geometry.json
Result = tuple[dict[str, Edit], Report]


@dataclass
class Target:
    """The model that an import is for, without its weights, and all that was found not to fit it.

    ignore: patterns of parameter names that a checkpoint may change without effect, and `base_model`, which accepts a
    source made for a model of another name.
    """

    directory: Path
    ignore: Sequence[str] = ()
    problems: list[str] = field(default_factory=list)

    @cached_property
    def source(self) -> dict[str, Any]:
        """What `resolve_model` noted about the model."""
        found: dict[str, Any] = read_json(self.directory / "source.json")
        return found

    @cached_property
    def model(self) -> Any:
        """The model on the meta device: modules and shapes, no numbers."""
        trust = self.source["trust_remote_code"]
        config = AutoConfig.from_pretrained(self.directory, trust_remote_code=trust)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=trust)

    @cached_property
    def modules(self) -> dict[str, nn.Module]:
        return dict(self.model.named_modules())

    @cached_property
    def blocks(self) -> list[str]:
        return find_blocks(self.model)

    def block(self, layer: int, name: str) -> str | None:
        """Return the path of a block; one that the model lacks is a problem of the tensor `name`."""
        if 0 <= layer < len(self.blocks):
            return self.blocks[layer]
        last = len(self.blocks) - 1
        self.problems.append(f"{name}: the model has no layer {layer}, its layers are 0 to {last}")
        return None

    def check_base(self, name: str | None) -> None:
        """Compare the name of the model that a source says it was made for: the last part, without quantisation."""
        known = [self.source["source"], self.directory.name]
        if name and "base_model" not in self.ignore and model_name(name) not in map(model_name, known):
            self.problems.append(
                f"it was made for the model '{name}', this one is {' or '.join(map(repr, known))}; if these are the "
                "same weights, add base_model to the method's `ignore`"
            )

    def check_architecture(self, hint: str | None) -> None:
        """Compare a model type, in the spelling of llama.cpp or of Hugging Face."""
        found = text_config(self.model).model_type
        if hint and "base_model" not in self.ignore and architecture(hint) != architecture(found):
            self.problems.append(
                f"it was made for a model of type '{hint}', this one is '{found}'; if it fits nevertheless, add "
                "base_model to the method's `ignore`"
            )

    def checked(self, path: str, name: str, vector: Tensor) -> Tensor:
        """Return the vector that is to be added to a module's output, (width,) in float64; note what is wrong."""
        module, vector = self.modules[path], vector.double()
        width = text_config(self.model).hidden_size
        if isinstance(module, nn.Linear | Conv1D):
            width = module.out_features if isinstance(module, nn.Linear) else module.nf
        if vector.numel() != width or vector.shape[-1:] != (width,):
            self.problems.append(f"{name}: shape {tuple(vector.shape)}, but the output of {path} is {width} wide")
        elif not vector.isfinite().all():
            self.problems.append(f"{name}: holds numbers that are not finite")
        return vector.reshape(-1)

    def finish(self) -> None:
        """Raise SteerdoseError with all problems that were found."""
        if self.problems:
            shown = self.problems[:MAX_LISTED]
            more = [f"and {len(self.problems) - len(shown)} more"] if len(self.problems) > len(shown) else []
            raise SteerdoseError(f"does not fit the model in {self.directory}:\n  " + "\n  ".join(shown + more))


def model_name(source: str) -> str:
    """Return the last part of a path or hub id, lower case, without .gguf and the name of a quantisation."""
    return QUANTISATION.sub("", source.rstrip("/").rpartition("/")[2].lower().removesuffix(".gguf"))


def architecture(model_type: str) -> str:
    """Return llama.cpp's name of an architecture, from its own or from Hugging Face's `model_type`."""
    plain = re.sub("[^a-z0-9]", "", model_type.lower().removesuffix("_text"))
    return GGUF_ARCHITECTURES.get(plain, plain)


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
    try:
        with torch.serialization.safe_globals([(_SteeringVector, "steering_vectors.steering_vector.SteeringVector")]):
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle's errors, its own and those of zip files
        raise SteerdoseError(
            f"{path} does not load without running pickled code, which steerdose never does. Where you trust it, in "
            "an environment with steering-vectors: sv = torch.load(path, weights_only=False); torch.save("
            "{'layer_activations': sv.layer_activations, 'layer_type': sv.layer_type}, path)"
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
    vectors = subtract(*sides) if len(sides) > 1 else sides[0]
    if zeros := [path for path, vector in vectors.items() if not vector.any()]:
        log.info("no edit, since the vector is zero, at %s", zeros)
    return {path: Add(vector.float()) for path, vector in vectors.items() if vector.any()}, {}


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
    base = load_model(target.directory, dtype="float32", device="cpu", train=True).model
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Found missing adapter keys")
            sides = [adapter_delta(base, source) for source in sources]
    except UserWarning as error:
        raise SteerdoseError(
            f"the adapter lacks weights for modules of this model, so it was made for another one: {error}"
        ) from error
    pair = len(sides) > 1
    deltas = MODES[mode](*sides) if pair else sides[0]
    deltas = {path: delta for path, delta in deltas.items() if delta.any()}
    edits = {path: factorise(delta) for path, delta in deltas.items()}
    report = {**geometry(sides[0], sides[1]), "delta": mode} if pair else {"norm_delta": norm(deltas)}
    return edits, {**report, "relative_error": relative_error(deltas, edits) if deltas else 0.0}


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
        edits, squared, missed = {}, 0.0, 0.0
        for name, path in weights.items():
            if path is None or not (delta := plus.read(name) - minus.read(name)).any():
                continue
            delta = delta.T if isinstance(target.modules[path], Conv1D) else delta
            edits[path] = factorise(delta)
            size = float(delta.square().sum())
            squared, missed = squared + size, missed + size * relative_error({path: delta}, {path: edits[path]}) ** 2
    return edits, {"norm_delta": math.sqrt(squared), "relative_error": math.sqrt(missed / (squared or 1.0))}


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


@dataclass(frozen=True)
class Format:
    """How sources of one format become edits. suffixes: of the one file that is read; empty: a directory is."""

    read: Callable[[Target, Sequence[Path], str], Result]
    suffixes: tuple[str, ...] = ()

    def locate(self, found: Path) -> Path:
        """Return the file or directory to read, given what a source stands for."""
        if not self.suffixes:
            if found.is_file():
                raise SteerdoseError(f"{found} is a file; give the directory that it lies in")
            return found
        if found.is_dir():
            inside = [path for path in sorted(found.iterdir()) if path.suffix in self.suffixes]
            if len(inside) != 1:
                names = [path.name for path in inside]
                raise SteerdoseError(f"{found} must hold one file ending in {' or '.join(self.suffixes)}, has {names}")
            return inside[0]
        if found.suffix not in self.suffixes:
            raise SteerdoseError(f"{found} does not end in {' or '.join(self.suffixes)}; convert it, or correct format")
        return found


FORMATS: dict[str, Format] = {
    "peft": Format(import_adapters),
    "control_vector": Format(partial(import_vectors, read_control_vector), (".gguf",)),
    "steering_vectors": Format(partial(import_vectors, read_steering_vectors), (".pt", ".pth")),
    "vectors": Format(partial(import_vectors, read_vectors), (".safetensors", ".npz")),
    "checkpoint": Format(import_checkpoints),
}


def import_steering(
    *, model: str, cell: dict[str, Any], settings: dict[str, Any], metadata: dict[str, str], output: str, geometry: str
) -> None:
    """Write steering/{method}.safetensors, made from files of another tool, and its geometry.json.

    settings: the config entry, with `format` (a key of FORMATS), `positive` and `negative` (a source, or null),
    `delta` for a pair of adapters and `ignore` (see Target). Raises SteerdoseError with all that does not fit.
    """
    name, chosen = cell["method"], FORMATS[settings["format"]]
    target = Target(Path(model), settings.get("ignore", ()))
    sides = {side: settings[side] for side in ("positive", "negative") if settings[side]}
    try:
        with tempfile.TemporaryDirectory() as scratch:
            files = []
            for side, source in sides.items():
                place, _, revision = (source, "", "") if Path(source).exists() else source.partition("@")
                wanted = [f"*{suffix}" for suffix in chosen.suffixes] or MODEL_FILES
                found = fetch(place, revision, Path(scratch) / side, key=f"methods.{name}.{side}", files=wanted)
                files.append(chosen.locate(found))
            digests = [weights_sha256(path) if path.is_dir() else sha256_of(path) for path in files]
            edits, report = chosen.read(target, files, settings.get("delta", "difference"))
        if not edits:
            raise SteerdoseError("the sources change nothing: all vectors, or the difference of both sides, are zero")
        origin = {"model_sha256": target.source["sha256"], "source_sha256": " ".join(digests)}
        steering = Steering(name, tuple(edits.items()), {**metadata, **origin})
    except SteerdoseError as error:
        raise SteerdoseError(f"methods.{name} ({' and '.join(sides.values())}): {error}") from error
    steering.save(output)
    sources = [{"source": source, "sha256": sha} for source, sha in zip(sides.values(), digests, strict=True)]
    write_json(
        {"method": name, "format": settings["format"], "sources": sources, **report, "modules": steering.describe()},
        geometry,
    )
