"""Loading a resolved model directory: the model, its tokenizer, and its linear layers made fast on a CPU."""

import logging
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import psutil
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TorchAoConfig
from transformers.utils.quantization_config import QuantizationConfigMixin

from steerdose.errors import SteerdoseError
from steerdose.files import read_json
from steerdose.flow.progress import Count
from steerdose.model.linear import is_plain
from steerdose.study.base import Quantization
from steerdose.study.memory import FLOAT
from steerdose.study.settings import Run

log = logging.getLogger(__name__)

EXACTLY = Run()
ROWS = 64  # that packed weights are laid out for; more and fewer work too
PACKED = 0.2


@dataclass(frozen=True)
class LoadedModel:
    """A model in eval mode, its tokenizer, and the sha256 of its weights.

    graphs: whether steps of decoding are static, and recorded on a GPU.
    """

    model: Any
    tokenizer: Any
    sha256: str
    graphs: bool = False

    @property
    def device(self) -> torch.device:
        """Where its inputs go."""
        return self.model.device

    @property
    def devices(self) -> set[torch.device]:
        """Where its weights are."""
        return {weight.device for weight in self.model.parameters()}


def pick_device(device: str) -> torch.device:
    """Return the torch device for `auto` (CUDA when there is one), `cpu`, `cuda`, `cuda:1`, ..."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SteerdoseError(f"device is '{device}', but torch sees no GPU; set device to 'auto' or 'cpu'")
    return torch.device(device)


def _device_map(device: str) -> str | dict[str, torch.device]:
    if device != "balanced":
        return {"": pick_device(device)}
    if not torch.cuda.is_available():
        raise SteerdoseError("device is 'balanced', but torch sees no GPU; set device to 'auto' or 'cpu'")
    return device


def load_tokenizer(directory: str | Path) -> Any:
    """Load the tokenizer of a resolved directory; one without a pad token pads with its end of turn."""
    trust = read_json(Path(directory) / "source.json")["trust_remote_code"]
    tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=trust)  # unsaid, it would ask on stdin
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


class _Packed:
    """A weight as oneDNN's kernels read it."""

    def __init__(self, weight: Tensor) -> None:
        self.weight, self.version = weight, weight._version
        self.layout = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), ROWS)

    def is_of(self, weight: Tensor) -> bool:
        """Whether a weight is still what was packed."""
        return self.weight is weight and self.version == weight._version

    def __deepcopy__(self, _: Any) -> None:
        """Its layout cannot be copied: a copied layer has none."""


class OneDnnLinear(nn.Linear):
    """A linear layer that calls oneDNN in inference; with gradients it is an ordinary one, which calls MKL.

    On AMD processors MKL is the slower one: on two cores of an EPYC the engine reached 75 tokens/s with it, 85 with
    oneDNN and 91 with weights that lie as its kernels read them (`bench/engine.py` measures all three). Torch reaches
    it under a private name only: its flags for mkldnn leave fp32 with MKL, and `torch.utils.mkldnn` copies every input
    and output, which costs what is gained.
    """

    packed: _Packed | None = None

    def pack(self) -> None:
        """Keep a copy of the weight for the kernels: as many bytes again."""
        self.packed = _Packed(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return super().forward(input)
        packed, weight = self.packed, self.weight
        if packed is not None and packed.is_of(weight):  # a merged one may have taken its place
            weight = packed.layout
        return torch.ops.mkldnn._linear_pointwise(input, weight, self.bias, "none", [], "")


@cache
def has_onednn() -> bool:
    """Whether the private call of `OneDnnLinear` is there, takes what it is given, and agrees with torch's own."""
    if not torch.backends.mkldnn.is_available():
        return False
    layer = nn.utils.skip_init(OneDnnLinear, 3, 2)  # draws no random numbers
    x = torch.arange(12.0).reshape(2, 2, 3)
    with torch.inference_mode():
        layer.weight.copy_(torch.arange(6.0).reshape(2, 3))
        layer.bias.copy_(torch.arange(2.0))
        try:
            plain = layer(x)
            layer.pack()
            found = layer(x)
        except (AttributeError, RuntimeError, TypeError) as error:  # missing, failing, or with another signature
            log.warning("linear layers use torch's own kernels, oneDNN's cannot be called: %s", error)
            return False
        agrees = all(torch.allclose(each, linear(x, layer.weight, layer.bias)) for each in (plain, found))
    if not agrees:
        log.warning("linear layers use torch's own kernels: oneDNN's call computes something else in this torch")
    return agrees


def speed_up(model: nn.Module) -> None:
    """Let the linear layers of an fp32 model on the CPU use oneDNN where this build of torch has it.

    Their weights are packed where these take no more than `PACKED` of the memory that is free.
    """
    weights = sum(each.weight.numel() * FLOAT for each in model.modules() if type(each) is nn.Linear)
    packs = weights <= PACKED * psutil.virtual_memory().available
    for module in model.modules() if has_onednn() else ():
        if type(module) is nn.Linear and is_plain(module.weight) and module.weight.device.type == "cpu":
            module.__class__ = OneDnnLinear
            if packs:
                cast(OneDnnLinear, module).pack()


def _count(_module: nn.Module, given: tuple[Tensor, ...]) -> None:
    Count.tokens += given[0].numel()


def _rounded(to: Quantization, dtype: torch.dtype) -> QuantizationConfigMixin:
    """Return how linear layers are rounded: weights alone to int8 by row, or to NF4 of QLoRA (arXiv:2305.14314).

    Not LLM.int8() of bitsandbytes: which columns it leaves whole is decided for a batch, so that an unsteered row would
    depend on the steered ones beside it.
    """
    try:
        if to == "8bit":
            from torchao.quantization import Int8WeightOnlyConfig

            return TorchAoConfig(Int8WeightOnlyConfig())
        return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    except ImportError as error:
        raise SteerdoseError(
            "a model in 8 or 4 bits needs an extra: pip install -r requirements-quantized.txt"
        ) from error


def _same_on_every_processor(model: nn.Module) -> None:
    """Keep 4 bits from kernels that only some processors have.

    Where it has AVX-512 BF16, bitsandbytes takes kernels that compute in bfloat16 whatever the dtype, and that fail on
    layers with fewer than 64 inputs.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def load_model(directory: str | Path, run: Run = EXACTLY, *, train: bool = False) -> LoadedModel:
    """Load a directory that `resolve_model` made; `train` leaves out `speed_up`.

    device: balanced: blocks are spread over all GPUs, and accelerate carries states from one to the next.
    """
    source, dtype = read_json(Path(directory) / "source.json"), getattr(torch, run.dtype)
    model = AutoModelForCausalLM.from_pretrained(
        directory,
        dtype=dtype,
        trust_remote_code=source["trust_remote_code"],
        use_safetensors=True,
        device_map=_device_map(run.device),
        quantization_config=_rounded(run.quantization, dtype) if run.quantization else None,
    ).eval()
    model.get_input_embeddings().register_forward_pre_hook(_count)
    _same_on_every_processor(model)
    if not train:
        speed_up(model)
    loaded = LoadedModel(model, load_tokenizer(directory), source["sha256"])
    one_gpu = [device.type for device in loaded.devices] == ["cuda"]
    return replace(loaded, graphs=run.cuda_graphs and one_gpu)
