"""What a trained adapter changes in the weights, module by module.

Deltas are formed by PEFT's own merge, in double precision: merging in fp32 leaves rounding noise of 6e-8 of the weight,
which is 1e-5 of a small delta and would hide its low rank. One module is merged at a time, and again where it is asked
for again: all deltas of a model in double precision are twice as large as the model.
"""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import peft
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from steerdose.errors import SteerdoseError

Deltas = Mapping[str, Tensor]  # by module path, (out, in) in float64


class AdapterDelta(Deltas):
    """W_merged - W_base by module path, (out, in) in float64, for any PEFT family. `base` is not touched.

    Each is formed when it is asked for. A module that the adapter wraps is there even where its delta is zero.
    """

    def __init__(self, base: nn.Module, adapter: str | Path) -> None:
        """Raises SteerdoseError where the adapter cannot be loaded, or is for anything but linear layers."""
        self.adapter, self.modules = adapter, dict(base.named_modules())
        self.tuned, shared = _load_adapter(base, adapter)
        self.model = self.tuned.get_base_model()
        self.wrapped: dict[str, nn.Module] = {}
        for path, module in self.model.named_modules():
            if _is_wrapper(module) and not any(path.startswith(f"{each}.") for each in self.wrapped):
                tied = any(id(parameter) in shared for parameter in module.parameters())
                if tied or linear_path(self.modules, f"{path}.weight") is None:
                    raise self._not_linear(path)
                self.wrapped[path] = module
        self.paths = [*self.wrapped, *self._overwritten(base)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, path: str) -> Tensor:
        if path not in self.paths:
            raise KeyError(path)
        module = self.modules[path]
        merged = self._merged(path) if path in self.wrapped else self.model.get_submodule(path)
        before = dict(module.named_parameters())
        for inner, after in merged.named_parameters():
            if inner not in before:
                raise self._added(f"{path}.{inner}")
            if inner != "weight" and not _same(after, before[inner]):
                raise self._not_linear(f"{path}.{inner}")
        difference = merged.get_parameter("weight").detach().double() - before["weight"].detach().double()
        return difference.T if isinstance(module, Conv1D) else difference

    def _merged(self, path: str) -> nn.Module:
        wrapper: Any = copy.deepcopy(self.wrapped[path]).double()
        try:
            if hasattr(wrapper, "unload_and_optionally_merge_module"):
                merged: nn.Module = wrapper.unload_and_optionally_merge_module(True, False, None)
                return merged
            wrapper.merge()
        except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            family = self.tuned.peft_config["default"].peft_type.value
            raise SteerdoseError(
                f"PEFT cannot merge the {family} adapter in {self.adapter} into the weights ({error}); choose another "
                "peft_type"
            ) from error
        unwrapped: nn.Module = wrapper.get_base_layer()
        return unwrapped

    def _overwritten(self, base: nn.Module) -> Iterator[str]:
        """Yield the linear layers that the adapter does not wrap and yet has other weights for."""
        before = dict(base.named_parameters())
        for name, after in self.model.named_parameters():
            if any(name.startswith(f"{path}.") for path in self.wrapped):
                continue
            if name not in before:
                raise self._added(name)
            if after is before[name] or _same(after, before[name]):
                continue
            path = linear_path(self.modules, name)
            if path is None:
                raise self._not_linear(name)
            yield path

    def is_zero(self) -> SteerdoseError:
        """Return the error for an adapter whose deltas are all zero."""
        return SteerdoseError(
            f"the adapter in {self.adapter} changes nothing; train it longer or raise the learning rate"
        )

    def _added(self, name: str) -> SteerdoseError:
        return SteerdoseError(
            f"the adapter in {self.adapter} adds a parameter {name}, which no weight delta can express"
        )

    def _not_linear(self, name: str) -> SteerdoseError:
        return SteerdoseError(
            f"the adapter in {self.adapter} changes {name}; only weights of linear layers can be steered"
        )


def _is_wrapper(module: nn.Module) -> bool:
    return isinstance(module, BaseTunerLayer) or hasattr(module, "unload_and_optionally_merge_module")


def _same(after: Tensor, before: Tensor) -> bool:
    return torch.equal(after.detach(), before.detach().to(after.dtype))


def _load_adapter(base: nn.Module, adapter: str | Path) -> tuple[Any, set[int]]:
    """Return a copy of `base` that carries the adapter, and the ids of parameters that it shares with `base`.

    It shares the embeddings, which are large; not those that the adapter has a copy of, which loading overwrites.
    """
    shared = {}
    try:
        stored = _parameters_in(Path(adapter) / "adapter_model.safetensors")
        for module in base.modules():
            if isinstance(module, nn.Embedding):
                shared[id(module.weight)] = module.weight
        for name, parameter in base.named_parameters(remove_duplicate=False):
            if name in stored:
                shared.pop(id(parameter), None)
        return peft.PeftModel.from_pretrained(copy.deepcopy(base, dict(shared)), str(adapter)), {*shared}
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise SteerdoseError(f"cannot load the adapter in {adapter}: {error}") from error


def _parameters_in(file: Path) -> set[str]:
    """Return the names of the base's own parameters of which a file of adapter weights holds a copy, and others."""
    if not file.is_file():
        return set()
    with safe_open(file, framework="pt") as opened:
        return {name.removeprefix("base_model.model.") for name in opened.keys()}  # noqa: SIM118


def linear_path(modules: dict[str, nn.Module], name: str) -> str | None:
    """Return the path of the linear layer whose weight the parameter `name` is; None for any other parameter."""
    path, _, kind = name.rpartition(".")
    return path if kind == "weight" and isinstance(modules.get(path), nn.Linear | Conv1D) else None
