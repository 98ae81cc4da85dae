"""How fast a machine runs a model, from a short measurement: what `make plan` takes the time of a study from."""

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from statistics import median
from typing import Any

import psutil
import torch

from steerdose.engine.generate import generate
from steerdose.engine.requests import Request
from steerdose.engine.score import Item, score
from steerdose.files import write_json
from steerdose.model.architecture import find_blocks, text_config
from steerdose.model.linear import linear_layers
from steerdose.model.loading import LoadedModel, load_model
from steerdose.model.sizes import sizes_of
from steerdose.steering.edits import Add
from steerdose.steering.edits_linear import LowRank
from steerdose.steering.intervention import UNSTEERED, Intervention
from steerdose.steering.steering import Steering
from steerdose.study.pace import Pace
from steerdose.study.settings import MeasureSpeed

log = logging.getLogger(__name__)

FEW = 8  # rows, beside as many as the study decodes
STEPS = (1, 5)  # of decoding; what the second takes longer is decoding alone
SHORT, LONG = 4, 132  # tokens of a prompt
READ = (16, 64)  # texts and tokens, half of which are scored
RANK = 8  # of the weight deltas
TRAINED = (2, 32)
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}  # of training, under autocast
TIMES, LONGEST = 3, 6.0  # each is run so often for the median, since other programs run, too; no more after so many s


def measure_speed(*, model: str, settings: MeasureSpeed, threads: int, speed: str) -> None:
    """Write what `measured` returns, and `start`: seconds until a process has loaded the model.

    threads: that the model ran on, 0 for a GPU.
    """
    loaded = load_model(model, settings.run)
    start = time.time() - psutil.Process().create_time()
    on_cpu = loaded.device.type == "cpu"
    write_json({"threads": threads if on_cpu else 0, "start": start, **measured(loaded, settings.rows)}, speed)


def measured(loaded: LoadedModel, rows: int) -> dict[str, Any]:
    """Return seconds and sizes of a model on this machine.

    plain, edited: a `Pace`, of rows without a steering, and of rows with an unsteered twin and a weight delta in every
    linear layer. kept: seconds that a row's step takes longer for each token in front. trained: seconds a token by
    precision, with gradients down to the first block. The rest are `Sizes`.
    """
    many = max(FEW + 1, rows)
    given = {"plain": UNSTEERED, "edited": Intervention(_deltas(loaded), 1.0)}
    found: dict[str, Any] = {name: asdict(_pace(loaded, each, many)) for name, each in given.items()}
    last = Intervention(_addition(loaded), 1.0)  # rows with one prompt, which is read once for all below
    longer = _decoding(loaded, last, many, LONG) - _decoding(loaded, last, many)
    found["kept"] = max(0.0, longer) / many / (LONG - SHORT)
    found["trained"] = {name: _training(loaded, dtype) for name, dtype in PRECISIONS.items()}
    log.info("%s", found)
    return {**found, **asdict(sizes_of(loaded.model))}


def _pace(loaded: LoadedModel, intervention: Intervention, many: int) -> Pace:
    """many: rows that the study decodes at a time."""
    small, large = _decoding(loaded, intervention, FEW), _decoding(loaded, intervention, many)
    row = max(0.0, large - small) / (many - FEW)
    return Pace(max(0.0, small - row * FEW), row, _reading(loaded, intervention))


def _addition(loaded: LoadedModel) -> Steering:
    """Return a steering of no effect behind the last block."""
    width = text_config(loaded.model).hidden_size
    return Steering("speed", ((find_blocks(loaded.model)[-1], Add(torch.full((width,), 1e-6))),), {})


def _deltas(loaded: LoadedModel) -> Steering:
    """Return a steering of no effect: a weight delta of every linear layer of the blocks that keeps rows apart."""
    edits: dict[str, LowRank] = {}

    def add(path: str, _: torch.nn.Module, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
        if len(given) and given[0].ndim == out.ndim == 3 and len(out) == 2:
            edits[path] = LowRank(torch.full((RANK, given[0].shape[-1]), 1e-6), torch.full((out.shape[-1], RANK), 1e-6))

    with ExitStack() as stack, torch.inference_mode():
        for block in find_blocks(loaded.model):
            for name, module in linear_layers(loaded.model.get_submodule(block)):
                stack.callback(module.register_forward_hook(partial(add, f"{block}.{name}")).remove)
        loaded.model(input_ids=torch.tensor([_ids(loaded, 3)] * 2, device=loaded.device), use_cache=False)
    return Steering("speed", tuple(edits.items()), {})


def _ids(loaded: LoadedModel, n: int, seed: int = 0) -> tuple[int, ...]:
    drawn = torch.randint(
        text_config(loaded.model).vocab_size // 2, (n,), generator=torch.Generator().manual_seed(seed)
    )
    return tuple(drawn.tolist())


def _decoding(loaded: LoadedModel, intervention: Intervention, rows: int, prompt: int = SHORT) -> float:
    """Return the seconds of one token for a batch of rows behind a prompt of so many tokens."""
    requests = [Request(str(i), _ids(loaded, prompt), intervention) for i in range(rows)]
    never = frozenset({text_config(loaded.model).vocab_size})  # a token that there is not

    def run(window: int) -> Callable[[], object]:
        return lambda: generate(loaded, requests, window=window, batch_size=rows, end_ids=never)

    one, all_ = (_seconds(run(window)) for window in STEPS)
    return max(1e-6, all_ - one) / (STEPS[1] - STEPS[0])


def _reading(loaded: LoadedModel, intervention: Intervention) -> float:
    """Return the seconds of a token that is read."""
    count, length = READ
    items = [Item(str(i), {None: _ids(loaded, length, i)}, n_scored=length // 2) for i in range(count)]
    return _seconds(lambda: score(loaded, [intervention], items, batch_rows=count)) / (count * length)


def _training(loaded: LoadedModel, dtype: torch.dtype | None) -> float:
    """Return the seconds of a token that is read with a gradient through all blocks, but for no weight."""
    model, (count, length) = loaded.model, TRAINED
    ids = torch.tensor([_ids(loaded, length, i) for i in range(count)], device=loaded.device)
    asked = [each.requires_grad for each in model.parameters()]
    model.requires_grad_(False)
    handle = model.get_input_embeddings().register_forward_hook(lambda _, __, out: out.requires_grad_())
    try:
        with torch.enable_grad(), torch.autocast(loaded.device.type, dtype, enabled=dtype is not None):
            return _seconds(lambda: model(input_ids=ids, labels=ids, use_cache=False).loss.backward()) / ids.numel()
    finally:
        handle.remove()
        for parameter, wanted in zip(model.parameters(), asked, strict=True):
            parameter.requires_grad_(wanted)


def _seconds(run: Callable[[], object]) -> float:
    """Return the median seconds of a run that is repeated; of the first one, which warms up, where it takes long."""
    took: list[float] = []
    while len(took) < TIMES and sum(took) < LONGEST:
        start = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        took.append(time.perf_counter() - start)
    return median(took)
