"""Loading a resolved model directory: the model, its tokenizer, and its linear layers made fast on a CPU."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from steerdose.errors import SteerdoseError
from steerdose.files import read_json


@dataclass(frozen=True)
class LoadedModel:
    """A model in eval mode, its tokenizer, and the sha256 of its weights."""

    model: Any
    tokenizer: Any
    sha256: str

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device


def pick_device(device: str) -> torch.device:
    """Return the torch device for `auto` (CUDA when there is one), `cpu`, `cuda`, `cuda:1`, ..."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SteerdoseError(f"device is '{device}', but torch sees no GPU; set device to 'auto' or 'cpu'")
    return torch.device(device)


def load_tokenizer(directory: str | Path) -> Any:
    """Load the tokenizer of a resolved directory; one without a pad token pads with its end of turn."""
    trust = read_json(Path(directory) / "source.json")["trust_remote_code"]
    tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=trust)  # unsaid, it would ask on stdin
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


class OneDnnLinear(nn.Linear):
    """A linear layer that calls oneDNN in inference; on AMD processors torch's default, MKL, is slower.

    `bench/engine.py` measures by how much. With gradients the layer is an ordinary one.
    """

    def forward(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return super().forward(input)
        return torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, "none", [], "")


def speed_up(model: nn.Module) -> None:
    """Let the linear layers of an fp32 model on the CPU use oneDNN where this build of torch has it."""
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        for module in model.modules():
            if (
                type(module) is nn.Linear
                and module.weight.dtype is torch.float32
                and module.weight.device.type == "cpu"
            ):
                module.__class__ = OneDnnLinear


def load_model(
    directory: str | Path, *, dtype: str = "float32", device: str = "auto", train: bool = False
) -> LoadedModel:
    """Load a directory that `resolve_model` made; dtype is a torch dtype's name, `train` leaves out `speed_up`."""
    source = read_json(Path(directory) / "source.json")
    model = AutoModelForCausalLM.from_pretrained(
        directory,
        dtype=getattr(torch, dtype),
        trust_remote_code=source["trust_remote_code"],
        use_safetensors=True,
    )
    model = model.eval().to(pick_device(device))
    if not train:
        speed_up(model)
    return LoadedModel(model, load_tokenizer(directory), source["sha256"])
