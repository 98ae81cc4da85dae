"""Steering: what is added to a model, and `steer(model, steering, coefficient)`, which adds it for a while.

The coefficient is a float or one value a batch row, so rows of many doses and unsteered rows share one forward. Edits
(see `edits`) are forward hooks inside a context manager; base weights are never written.
"""

import difflib
import hashlib
import inspect
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import safe_open
from torch import Tensor, nn

from steerdose.columns import KEYS, Cell
from steerdose.errors import SteerdoseError
from steerdose.model.experts import RoutedLinear, opened_experts
from steerdose.steering.edits import EDITS, Edit, LowRank
from steerdose.steering.storage import write_tensors
from steerdose.study.base import Part

FORMAT_VERSION = "1"
MEMBERS = "members"  # in the metadata: the part that each edit belongs to
INPUT_NAMES = ("input", "hidden_states", "x")  # where the signature of `forward` does not say it, as with *args


def origin(cell: Cell, settings: Part, model_sha256: str) -> dict[str, str]:
    """Return what a steering file says about where it comes from."""
    keys = {name: str(value) for name, value in zip(KEYS, cell.parts, strict=False)}
    return {**keys, "config": settings.text(), "model_sha256": model_sha256}


@dataclass(frozen=True, eq=False)
class Steering:
    """Edits by module path, in order, with the metadata that says where they come from.

    Two are the same only where they are one object: tensors are not compared, so that a steering can be a key.
    """

    method: str
    edits: tuple[tuple[str, Edit], ...]
    metadata: dict[str, str]
    n_loaded: ClassVar[int] = 0  # files that were read in this process

    def __post_init__(self) -> None:
        if not self.edits:
            raise SteerdoseError(f"steering '{self.method}' has no edits: the method found nothing to change")
        for path, edit in self.edits:
            for name, tensor in edit.tensors().items():
                if not torch.isfinite(tensor).all():
                    raise SteerdoseError(f"steering '{self.method}': {name} of the edit at {path} is not finite")
            if zeros := edit.zero_fields():
                raise SteerdoseError(f"steering '{self.method}': {zeros[0]} of the edit at {path} is all zeros")

    def save(self, path: str | Path) -> None:
        """Write one safetensors file: tensors `{index}.{field}`, edit kinds and metadata in the header."""
        kinds = [{"module": module, "edit": type(edit).__name__} for module, edit in self.edits]
        tensors = {
            f"{index}.{name}": tensor.contiguous().cpu()
            for index, (_, edit) in enumerate(self.edits)
            for name, tensor in edit.tensors().items()
        }
        header = {"format_version": FORMAT_VERSION, "method": self.method, "edits": json.dumps(kinds)}
        write_tensors(path, tensors, {**self.metadata, **header})

    @classmethod
    def load(cls, path: str | Path) -> "Steering":
        Steering.n_loaded += 1
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
            if header.pop("format_version", None) != FORMAT_VERSION:
                raise SteerdoseError(f"{path} is no steerdose steering file of format {FORMAT_VERSION}: rebuild it")
            edits = []
            for index, entry in enumerate(json.loads(header.pop("edits"))):
                if entry["edit"] not in EDITS:
                    raise SteerdoseError(f"{path} holds an edit '{entry['edit']}', unknown to this version: rebuild it")
                kind = EDITS[entry["edit"]]
                edits.append(
                    (entry["module"], kind(**{f.name: file.get_tensor(f"{index}.{f.name}") for f in fields(kind)}))
                )
        return cls(header.pop("method"), tuple(edits), header)

    @cached_property
    def digest(self) -> str:
        """A sha256 of what the steering does: modules, kinds of edits and all their numbers."""
        found = hashlib.sha256()
        for path, edit in self.edits:
            found.update(f"{path} {type(edit).__name__}".encode())
            for name, tensor in edit.tensors().items():
                found.update(f"{name} {tuple(tensor.shape)}".encode())
                found.update(tensor.contiguous().cpu().numpy().tobytes())
        return found.hexdigest()

    def member(self, method: str) -> "Steering":
        """Return one method of a file that holds several, the parts of another; a file of one is that method itself."""
        if MEMBERS not in self.metadata:
            return self
        members = json.loads(self.metadata[MEMBERS])
        chosen = [edit for name, edit in zip(members, self.edits, strict=True) if f"{self.method}.{name}" == method]
        metadata = {key: value for key, value in self.metadata.items() if key != MEMBERS}
        return Steering(method, tuple(chosen), metadata)

    def describe(self) -> list[dict[str, Any]]:
        """Return one entry an edited module, for geometry.json: its edit, rank, norm and count of stored numbers."""
        return [
            {
                "module": path,
                "edit": type(edit).__name__,
                "rank": edit.A.shape[0] if isinstance(edit, LowRank) else None,
                "norm": edit.norm(),
                "n_parameters": sum(tensor.numel() for tensor in edit.tensors().values()),
            }
            for path, edit in self.edits
        ]


class Dial:
    """The coefficient of an active steering; assign to turn it. `fired` counts token positions by module path."""

    def __init__(self, coefficient: float | Tensor) -> None:
        self.fired: Counter[str] = Counter()
        self.coefficient = coefficient

    @property
    def coefficient(self) -> Tensor:
        """Scalar; (rows,): one value a batch row; or (rows, tokens)."""
        return self._coefficient

    @coefficient.setter
    def coefficient(self, value: float | Tensor) -> None:
        self._coefficient = torch.as_tensor(value, dtype=torch.float32)
        if not torch.isfinite(self._coefficient).all():
            raise SteerdoseError(f"a coefficient must be finite, found {value}")
        self.is_zero = not bool(self._coefficient.any())

    def shaped(self, path: str, module: nn.Module, y: Tensor) -> Tensor:
        """Return the coefficient shaped to multiply y: (rows, tokens, width), or (tokens, width) of one expert."""
        c = self._coefficient.to(y.device)
        if isinstance(module, RoutedLinear):
            return module.per_token(c)
        if c.ndim and len(c) != len(y):
            raise SteerdoseError(
                f"{path} put out {len(y)} rows for {len(c)} coefficients: the module flattens its batch, "
                "so it cannot be steered row by row; choose another module"
            )
        return c.reshape(*c.shape, *[1] * (y.ndim - c.ndim)) if c.ndim else c


@contextmanager
def steer(model: nn.Module, steering: Steering, coefficient: float | Tensor) -> Iterator[Dial]:
    """Steer `model` while the context is open. Contexts nest: several steerings can be active at once.

    coefficient: a float, or (rows,) for one value a batch row; rows with 0 equal the unsteered model exactly.
    Raises SteerdoseError when a module is missing or has another width. The model is restored on any exception.
    """
    paths = [path for path, _ in steering.edits]
    with ExitStack() as stack:
        stack.enter_context(opened_experts(model, paths))
        modules = dict(model.named_modules())
        _require_all(steering, modules)
        dial = Dial(coefficient)
        for path, edit in steering.edits:
            handle = modules[path].register_forward_hook(_hook(path, edit, dial), with_kwargs=True)
            stack.callback(handle.remove)
        yield dial


def _require_all(steering: Steering, modules: Mapping[str, nn.Module]) -> None:
    missing = [path for path, _ in steering.edits if path not in modules]
    if missing:
        near = difflib.get_close_matches(missing[0], modules, n=3, cutoff=0.3)
        raise SteerdoseError(
            f"steering '{steering.method}' edits modules that this model lacks: {missing[:3]}; "
            f"the model has, for example, {near}. Fit the steering on this model."
        )


def _input(path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Return what a module was called with: its first argument, by position or under the name that `forward` gives."""
    names = [next(iter(inspect.signature(module.forward).parameters), ""), *INPUT_NAMES] if not args else []
    for value in (*args[:1], *(kwargs[name] for name in names if name in kwargs)):
        if isinstance(value, Tensor):
            return value
    raise SteerdoseError(
        f"{path} was called without a tensor as its first argument (by keyword: {sorted(kwargs)}), so its input cannot "
        "be told; choose another module"
    )


def _hook(path: str, given: Edit, dial: Dial) -> Any:
    placed: dict[torch.device, Edit] = {}  # where the module puts out, which its weights may not tell

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        y = output[0] if isinstance(output, tuple) else output
        dial.fired[path] += y.shape[-2]
        if dial.is_zero:
            return None
        if y.shape[-1] != given.width:
            raise SteerdoseError(f"the edit at {path} is {given.width} wide, the module's output {y.shape[-1]}")
        if y.device not in placed:
            placed[y.device] = given.to(y.device)
        edited = placed[y.device].apply(
            _input(path, module, args, kwargs).to(y.device), y, dial.shaped(path, module, y)
        )
        return (edited, *output[1:]) if isinstance(output, tuple) else edited

    return hook
