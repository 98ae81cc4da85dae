"""The model that an import is for: its modules and shapes, and all that is found not to fit them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from steerdose.errors import SteerdoseError
from steerdose.files import read_json
from steerdose.model.architecture import find_blocks, text_config
from steerdose.steering.edits import Edit

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

    def of_layers(self, edits: dict[str, Edit], layers: Sequence[int | str] | None) -> dict[str, Edit]:
        """Return the edits in these blocks, all for None. Raises SteerdoseError for a block without one."""
        if layers is None:
            return edits
        inside = [[path for path in edits if f"{path}.".startswith(f"{block}.")] for block in self.blocks]
        held, chosen = [i for i, paths in enumerate(inside) if paths], sorted(map(int, layers))
        if lacking := [i for i in chosen if i not in held]:
            raise SteerdoseError(f"layers {lacking}: it changes nothing there; it has edits in the layers {held}")
        return {path: edits[path] for i in chosen for path in inside[i]}

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
