"""From two adapters to one weight-space steering: positive minus negative, and the geometry of the two.

Deltas are formed by PEFT's own merge, in double precision: merging in fp32 leaves rounding noise of 6e-8 of the weight,
which is 1e-5 of a small delta and would hide its low rank.
"""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from steerdose.columns import Cell
from steerdose.errors import SteerdoseError
from steerdose.files import write_json
from steerdose.model.experts import open_experts
from steerdose.model.loading import load_model
from steerdose.steering.edits import Dense, Edit, LowRank, matrix
from steerdose.steering.steering import Steering, origin
from steerdose.study.settings import MergeDiff

Deltas = dict[str, Tensor]

RANK_TOLERANCE = 1e-6  # relative Frobenius error at which a factorisation counts as exact
SKETCHES = (64, 512)  # ranks at which a factorisation is tried; a delta of higher rank is stored whole


def adapter_delta(base: nn.Module, adapter: str | Path) -> Deltas:
    """Return W_merged - W_base by module path, (out, in) in float64, for any PEFT family. `base` is not touched."""
    tuned = _load_adapter(base, adapter)
    try:
        merged = tuned.merge_and_unload()
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        family = tuned.peft_config["default"].peft_type.value
        raise SteerdoseError(
            f"PEFT cannot merge the {family} adapter in {adapter} into the weights ({error}); choose another peft_type"
        ) from error
    modules, deltas = dict(base.named_modules()), {}
    before = dict(base.named_parameters())
    for name, after in merged.named_parameters():
        if name not in before:
            raise SteerdoseError(f"the adapter in {adapter} adds a parameter {name}, which no weight delta can express")
        if after is before[name] or torch.equal(after.detach(), before[name].detach().to(after.dtype)):
            continue
        path = linear_path(modules, name)
        if path is None:
            raise _not_linear(adapter, name)
        difference = after.detach().double() - before[name].detach().double()
        deltas[path] = difference.T if isinstance(modules[path], Conv1D) else difference
    if not deltas:
        raise SteerdoseError(f"the adapter in {adapter} changes nothing; train it longer or raise the learning rate")
    return deltas


def _load_adapter(base: nn.Module, adapter: str | Path) -> Any:
    """Return a copy of `base` that carries the adapter, what it adapts in double precision.

    The copy shares the embeddings, which are large; not those that the adapter has a copy of, which loading overwrites.
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
        tuned: Any = peft.PeftModel.from_pretrained(copy.deepcopy(base, dict(shared)), str(adapter))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise SteerdoseError(f"cannot load the adapter in {adapter}: {error}") from error
    for path, module in tuned.named_modules():
        if isinstance(module, BaseTunerLayer):
            if any(id(parameter) in shared for parameter in module.parameters()):
                raise _not_linear(adapter, path)
            module.double()
    return tuned


def _parameters_in(file: Path) -> set[str]:
    """Return the names of the base's own parameters of which a file of adapter weights holds a copy, and others."""
    if not file.is_file():
        return set()
    with safe_open(file, framework="pt") as opened:
        return {name.removeprefix("base_model.model.") for name in opened.keys()}  # noqa: SIM118


def _not_linear(adapter: str | Path, name: str) -> SteerdoseError:
    return SteerdoseError(f"the adapter in {adapter} changes {name}; only weights of linear layers can be steered")


def linear_path(modules: dict[str, nn.Module], name: str) -> str | None:
    """Return the path of the linear layer whose weight the parameter `name` is; None for any other parameter."""
    path, _, kind = name.rpartition(".")
    return path if kind == "weight" and isinstance(modules.get(path), nn.Linear | Conv1D) else None


def factorise(dW: Tensor, tolerance: float = RANK_TOLERANCE) -> Edit:
    """Return dW (out, in) as `LowRank` where that is exact to `tolerance` and smaller, else as `Dense`.

    A Gaussian sketch of more columns than the rank spans all of dW (Halko et al. 2011, arXiv:0909.4061), so a full
    rank costs two sketches and no SVD.
    """
    rows, columns = dW.shape
    limit, largest = tolerance * dW.norm(), rows * columns // (rows + columns)
    generator = torch.Generator().manual_seed(0)
    for size in SKETCHES:
        sketch = dW @ torch.randn(columns, min(size, largest + 1), generator=generator, dtype=dW.dtype)
        Q = torch.linalg.qr(sketch).Q
        core = Q.T @ dW
        if (dW - Q @ core).norm() <= limit:
            U, s, Vh = torch.linalg.svd(core, full_matrices=False)
            tail = s.square().flip(0).cumsum(0).flip(0).sqrt()  # tail[k] is the norm of what rank k leaves out
            rank = int((tail > limit).sum())
            if rank <= largest:
                return LowRank(A=Vh[:rank].float().contiguous(), B=(Q @ U[:, :rank] * s[:rank]).float().contiguous())
            break
    return Dense(dW.float())


def norm(deltas: Deltas) -> float:
    """Return the Frobenius norm over all modules."""
    return math.sqrt(sum(float(delta.square().sum()) for delta in deltas.values()))


def subtract(positive: Deltas, negative: Deltas) -> Deltas:
    """Return positive - negative over all modules that either side touches."""
    missing = torch.zeros((), dtype=torch.float64)
    return {path: positive.get(path, missing) - negative.get(path, missing) for path in sorted({*positive, *negative})}


def bisector(positive: Deltas, negative: Deltas) -> Deltas:
    """Return the difference of the two directions, P / |P| - N / |N|, as long as P - N is.

    |P| and |N| are taken over the modules that both sides touch. Where |P| = |N| this is the difference.
    """
    shared = positive.keys() & negative.keys()
    if not shared:
        raise SteerdoseError("delta 'bisector': the adapters have no module in common; use delta: difference")
    units = []
    for side in (positive, negative):
        length = norm({path: side[path] for path in shared})
        units.append({path: delta / length for path, delta in side.items()})
    directions = subtract(*units)
    factor = norm(subtract(positive, negative)) / (norm(directions) or 1.0)
    return {path: delta * factor for path, delta in directions.items()}


# Every mode points to the positive persona at a positive coefficient.
MODES: dict[str, Callable[[Deltas, Deltas], Deltas]] = {
    "difference": subtract,
    "bisector": bisector,
    "positive": lambda positive, _: positive,
    "negative": lambda _, negative: {path: -delta for path, delta in negative.items()},
}


def angles(positive: Deltas, negative: Deltas) -> dict[str, float]:
    """Describe how the two deltas lie to each other; all norms are Frobenius norms over all modules.

    norm_delta = |P - N|, norm_drift = |P + N| / 2, cos_anti = -<P, N> / (|P| |N|) (1: exact opposites),
    asymmetry = |P| / |N|, drift_ratio = norm_drift / (norm_delta / 2), cos_delta_drift = |<P - N, P + N>| normalised.
    """
    p2 = sum(float(d.square().sum()) for d in positive.values())
    n2 = sum(float(d.square().sum()) for d in negative.values())
    pn = sum(float((positive[path] * negative[path]).sum()) for path in positive.keys() & negative.keys())
    difference, total = math.sqrt(max(p2 - 2 * pn + n2, 0.0)), math.sqrt(max(p2 + 2 * pn + n2, 0.0))
    return {
        "norm_positive": math.sqrt(p2),
        "norm_negative": math.sqrt(n2),
        "norm_delta": difference,
        "norm_drift": total / 2,
        "cos_anti": -pn / math.sqrt(p2 * n2),
        "asymmetry": math.sqrt(p2 / n2),
        "drift_ratio": total / difference if difference else math.inf,
        "cos_delta_drift": abs(p2 - n2) / (difference * total) if difference and total else 0.0,
    }


def merge_diff(
    *,
    model: str,
    positive: str,
    negative: str,
    cell: Cell,
    settings: MergeDiff,
    entry: str,
    steering: str,
    geometry: str,
) -> None:
    """Write steering/{entry}.safetensors, the delta of a key of `MODES`, and its geometry.json."""
    loaded = load_model(model, train=True)
    open_experts(loaded.model)
    sides = [adapter_delta(loaded.model, adapter) for adapter in (positive, negative)]
    mode = settings.method.delta
    deltas = {path: delta for path, delta in MODES[mode](*sides).items() if delta.any()}
    if not deltas:
        raise SteerdoseError(f"both adapters of '{entry}' are the same, so their {mode} is empty; train them longer")
    edits = {path: factorise(delta) for path, delta in deltas.items()}
    found = Steering(entry, tuple(edits.items()), origin(cell, settings, loaded.sha256))
    found.save(steering)
    measures = {**angles(*sides), "delta": mode, "relative_error": relative_error(deltas, edits)}
    write_json({**measures, "modules": found.describe()}, geometry)


def relative_error(deltas: Deltas, edits: dict[str, Edit]) -> float:
    """Return the Frobenius norm of what the stored edits miss, over that of the deltas."""
    missed = math.hypot(*(float((matrix(edit) - deltas[path]).norm()) for path, edit in edits.items()))
    return missed / norm(deltas)
