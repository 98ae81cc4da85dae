"""From two adapters to one weight-space steering: positive minus negative, and the geometry of the two.

Deltas are formed by PEFT's own merge, in double precision: merging in fp32 leaves rounding noise of 6e-8 of the weight,
which is 1e-5 of a small delta and would hide its low rank.
"""

import copy
import math
from pathlib import Path
from typing import Any

import peft
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from .errors import SteerdoseError
from .models import load_model
from .steering import Dense, Edit, LowRank, Steering
from .tables import write_json

Deltas = dict[str, Tensor]

RANK_TOLERANCE = 1e-6  # relative Frobenius error at which a factorisation counts as exact


def adapter_delta(base: nn.Module, adapter: str | Path) -> Deltas:
    """Return W_merged - W_base by module path, (out, in) in float64, for any PEFT family. `base` is not touched."""
    try:
        tuned: Any = peft.PeftModel.from_pretrained(copy.deepcopy(base), str(adapter))
    except (OSError, ValueError, RuntimeError) as error:
        raise SteerdoseError(f"cannot load the adapter in {adapter}: {error}") from error
    for module in tuned.modules():
        if isinstance(module, BaseTunerLayer):
            module.double()
    merged = tuned.merge_and_unload()
    modules, deltas = dict(base.named_modules()), {}
    before = dict(base.named_parameters())
    for name, after in merged.named_parameters():
        if name not in before:
            raise SteerdoseError(f"the adapter in {adapter} adds a parameter {name}, which no weight delta can express")
        difference = after.detach().double() - before[name].detach().double()
        if not difference.any():
            continue
        path, _, kind = name.rpartition(".")
        if kind != "weight" or not isinstance(modules[path], nn.Linear | Conv1D):
            raise SteerdoseError(
                f"the adapter in {adapter} changes {name}; only weights of linear layers can be steered"
            )
        deltas[path] = difference.T if isinstance(modules[path], Conv1D) else difference
    if not deltas:
        raise SteerdoseError(f"the adapter in {adapter} changes nothing; train it longer or raise the learning rate")
    return deltas


def factorise(dW: Tensor, tolerance: float = RANK_TOLERANCE) -> Edit:
    """Return dW (out, in) as `LowRank` where that is exact to `tolerance` and smaller, else as `Dense`."""
    rows, columns = dW.shape
    norm = dW.norm()
    largest = rows * columns // (rows + columns)
    sketch = 16
    while sketch // 2 < largest:
        torch.manual_seed(0)
        U, s, V = torch.svd_lowrank(dW, q=min(sketch, rows, columns), niter=2)
        if (dW - U * s @ V.T).norm() <= tolerance * norm:
            tail = s.square().flip(0).cumsum(0).flip(0).sqrt()  # tail[k] is the norm of what rank k leaves out
            rank = int((tail > tolerance * norm).sum())
            if rank <= largest:
                return LowRank(A=V[:, :rank].T.float().contiguous(), B=(U * s)[:, :rank].float().contiguous())
            break
        sketch *= 2
    return Dense(dW.float())


def subtract(positive: Deltas, negative: Deltas) -> Deltas:
    """Return positive - negative over all modules that either side touches."""
    missing = torch.zeros((), dtype=torch.float64)
    return {path: positive.get(path, missing) - negative.get(path, missing) for path in sorted({*positive, *negative})}


def geometry(positive: Deltas, negative: Deltas) -> dict[str, float]:
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
    *, model: str, positive: str, negative: str, method: str, metadata: dict[str, str], output: str, geometry_json: str
) -> None:
    """Write steering/{method}.safetensors, the delta positive minus negative, and its geometry.json."""
    loaded = load_model(model, dtype="float32", device="cpu", train=True)
    sides = [adapter_delta(loaded.model, adapter) for adapter in (positive, negative)]
    deltas = subtract(*sides)
    edits = {path: factorise(delta) for path, delta in deltas.items() if delta.any()}
    if not edits:
        raise SteerdoseError(
            f"both adapters of '{method}' are the same, so their difference is empty; train them longer"
        )
    Steering(method, tuple(edits.items()), {**metadata, "model_sha256": loaded.sha256}).save(output)
    modules = [
        {
            "module": path,
            "edit": type(edit).__name__,
            "rank": edit.A.shape[0] if isinstance(edit, LowRank) else None,
            "norm": float(deltas[path].norm()),
        }
        for path, edit in edits.items()
    ]
    write_json({**geometry(*sides), "modules": modules}, geometry_json)
