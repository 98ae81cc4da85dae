"""Take a steering away at one dose, in the formats of its consumers: a PEFT adapter, a merged model, a control vector.

The dose is built in: a consumer loads the file at its own neutral strength (scaling 1) and gets coefficient c.
"""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import peft
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from steerdose.columns import sign_of
from steerdose.errors import SteerdoseError
from steerdose.files import read_json, replacing
from steerdose.model.architecture import find_blocks, text_config
from steerdose.model.experts import fused_experts, opened_experts
from steerdose.model.loading import load_model
from steerdose.steering.edits import Add, Dense, Edit, LowRank, matrix
from steerdose.steering.intervention import coefficient_of
from steerdose.steering.steering import Steering

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Format:
    """One file or folder under results/export/...; `holds(path, edit, model)` is whether it can express an edit."""

    needs: str
    holds: Callable[[str, Edit, nn.Module], bool]


FORMATS = {
    "peft": Format(
        "weight deltas of low rank (LowRank) of whole modules, not of single experts",
        lambda path, edit, model: isinstance(edit, LowRank) and not fused_experts(model, [path]),
    ),
    "model": Format("weight deltas (LowRank or Dense)", lambda _path, edit, _model: isinstance(edit, LowRank | Dense)),
    "control_vector.gguf": Format(
        "directions added (Add) to the output of a whole block other than the first, which llama.cpp never steers",
        lambda path, edit, model: isinstance(edit, Add) and path in find_blocks(model)[1:],
    ),
}


def possible_formats(model: nn.Module, steering: Steering) -> list[str]:
    """Return the keys of FORMATS that can hold every edit of a steering."""
    return [name for name in FORMATS if not _misfits(model, steering, name)]


def _misfits(model: nn.Module, steering: Steering, name: str) -> list[tuple[str, Edit]]:
    return [(path, edit) for path, edit in steering.edits if not FORMATS[name].holds(path, edit, model)]


def check_format(model: nn.Module, steering: Steering, name: str) -> None:
    """Raise SteerdoseError unless format `name` can hold every edit; the message says which formats can."""
    misfits = _misfits(model, steering, name)
    if misfits:
        path, edit = misfits[0]
        others = possible_formats(model, steering)
        remedy = (
            f"Export {' or '.join(others)} instead"
            if others
            else "No export format holds it: steer with steerdose's own steering file (steerdose.steering.steering)"
        )
        raise SteerdoseError(
            f"'{steering.method}' cannot be exported as {name}: that needs {FORMATS[name].needs}, and {path} has "
            f"the edit {type(edit).__name__}. {remedy}"
        )


def dose_of(alpha: float, calibration: str | Path) -> float:
    """Return the coefficient of a dose; alpha 0 is refused, a dose that missed its target is logged."""
    if alpha == 0:
        raise SteerdoseError("alpha 0 is the unsteered model: there is nothing to export; choose another alpha")
    found = read_json(calibration)
    sign = found[sign_of(alpha)]
    if not sign["converged"]:
        log.warning("the calibration of this sign did not converge: %s", sign["reason"])
    coefficient = coefficient_of(alpha, found)
    log.info("alpha %g is coefficient %.8g", alpha, coefficient)
    return coefficient


def linear_module(model: nn.Module, path: str) -> nn.Module:
    """Return the linear layer that a weight edit belongs to."""
    module = dict(model.named_modules()).get(path)
    if not isinstance(module, nn.Linear | Conv1D):
        found = "no such module" if module is None else type(module).__name__
        raise SteerdoseError(f"{path}: expected a linear layer, found {found}; fit the steering on this model")
    return module


def lora_factors(steering: Steering, coefficient: float) -> dict[str, tuple[Tensor, Tensor]]:
    """Return A (r, in) and c B (out, r) by module path; several edits of one module become one of the summed rank."""
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    for path, edit in steering.edits:
        A, B = edit.tensors()["A"], (coefficient * edit.tensors()["B"].double()).float()
        if path in factors:
            A, B = torch.cat([factors[path][0], A]), torch.cat([factors[path][1], B], dim=1)
        factors[path] = A, B
    return factors


def save_peft(
    model: nn.Module, steering: Steering, coefficient: float, base: tuple[str, str | None], folder: str | Path
) -> None:
    """Write a LoRA adapter that adds c B A to each weight; `model` carries it afterwards.

    base: name and revision that the adapter's config gives its base model. lora_alpha equals r in every module, so the
    scaling is 1 also for readers that know one global scaling (Hu et al. 2022, arXiv:2106.09685).
    """
    check_format(model, steering, "peft")
    factors = lora_factors(steering, coefficient)
    modules = {path: linear_module(model, path) for path in factors}
    ranks = {path: len(A) for path, (A, _) in factors.items()}
    highest = max(ranks.values())
    lower = {path: rank for path, rank in ranks.items() if rank != highest}
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        target_modules=list(factors),
        r=highest,
        lora_alpha=highest,
        rank_pattern=lower,
        alpha_pattern=dict(lower),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in modules.values()),
    )
    adapted = peft.get_peft_model(model, config)
    config.base_model_name_or_path, config.revision = base  # PEFT puts the folder that the model was loaded from
    for path, (A, B) in factors.items():
        layer = adapted.base_model.model.get_submodule(path)
        with torch.no_grad():
            layer.lora_A["default"].weight.copy_(A)
            layer.lora_B["default"].weight.copy_(B)
    with replacing(folder) as temporary:
        adapted.save_pretrained(temporary, save_embedding_layers=False)  # "auto" would ask the hub about the base
        (temporary / "README.md").unlink()  # PEFT's form to fill in; card.md says what is known


def merge_edits(model: nn.Module, steering: Steering, coefficient: float) -> None:
    """Add c dW to the fp32 weights of `model` in place; sums are formed in float64 and rounded once a module."""
    check_format(model, steering, "model")
    with opened_experts(model, [path for path, _ in steering.edits]):
        _merge(model, steering, coefficient)


def _merge(model: nn.Module, steering: Steering, coefficient: float) -> None:
    deltas: dict[str, Tensor] = {}
    for path, edit in steering.edits:
        delta = coefficient * matrix(edit)
        deltas[path] = deltas[path] + delta if path in deltas else delta
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    for path, delta in deltas.items():
        module: Any = linear_module(model, path)
        shared = [name for name in names[id(module.weight)] if name != f"{path}.weight"]
        if shared:
            remedy = "export peft instead" if "peft" in possible_formats(model, steering) else "steer other modules"
            raise SteerdoseError(
                f"{path} shares its weight with {shared}, which a merge would change as well; {remedy}"
            )
        weight = module.weight.data
        change = delta.T if isinstance(module, Conv1D) else delta
        weight.copy_(weight.double() + change.to(weight.device))


def save_control_vector(model: Any, steering: Steering, coefficient: float, path: str | Path) -> None:
    """Write llama.cpp's control vector: F32 tensors `direction.{i}` with c v, at strength 1.

    llama.cpp adds `direction.{i}` to the residual stream behind block i, counted from 0, at every position: its loader
    keeps index i at offset i - 1, `llama_adapter_cvec::apply` gives offset i - 1 to layer i, and the graph adds that to
    the layer's `l_out`. So i is the index of the Hugging Face block, and there is no direction 0. Directions of one
    block are summed. Source: llama.cpp, src/llama-adapter.cpp and common/common.cpp.
    """
    check_format(model, steering, "control_vector.gguf")
    blocks = find_blocks(model)
    directions: dict[int, Tensor] = {}
    for module, edit in steering.edits:
        layer, added = blocks.index(module), coefficient * edit.tensors()["v"].double()
        directions[layer] = directions[layer] + added if layer in directions else added
    with replacing(path) as temporary:
        writer = gguf.GGUFWriter(temporary, "controlvector")
        writer.add_string("controlvector.model_hint", text_config(model).model_type)
        writer.add_uint32("controlvector.layer_count", len(directions))
        for layer, direction in sorted(directions.items()):
            writer.add_tensor(f"direction.{layer}", direction.float().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def base_of(model: str | Path) -> tuple[str, str | None]:
    """Return where the base model came from, and its revision: never a path that only this study has."""
    source = read_json(Path(model) / "source.json")
    return source["source"], source["revision"]


def export_peft(*, model: str, steering: list[str], calibration: str, method: str, alpha: float, folder: str) -> None:
    """Write the folder of a PEFT LoRA adapter: adapter_config.json and adapter_model.safetensors."""
    loaded = load_model(model, train=True)
    save_peft(
        loaded.model, Steering.load(steering[0]).member(method), dose_of(alpha, calibration), base_of(model), folder
    )


def export_model(*, model: str, steering: list[str], calibration: str, method: str, alpha: float, folder: str) -> None:
    """Write a Hugging Face directory: merged fp32 weights, and the resolved model's tokenizer and other files."""
    loaded = load_model(model, train=True)
    merge_edits(loaded.model, Steering.load(steering[0]).member(method), dose_of(alpha, calibration))
    others = shutil.ignore_patterns("*.safetensors", "*.safetensors.index.json", "source.json", ".*")
    with replacing(folder) as temporary:
        shutil.copytree(model, temporary, ignore=others, dirs_exist_ok=True)
        loaded.model.save_pretrained(temporary)


def export_control_vector(
    *, model: str, steering: list[str], calibration: str, method: str, alpha: float, vector: str
) -> None:
    """Write control_vector.gguf."""
    loaded = load_model(model, train=True)
    save_control_vector(loaded.model, Steering.load(steering[0]).member(method), dose_of(alpha, calibration), vector)
