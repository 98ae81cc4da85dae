"""How fast a machine runs a model, from a short measurement: what `make plan` takes the time of a study from."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import psutil
import torch

from steerdose.engine.generate import generate
from steerdose.engine.requests import Request
from steerdose.engine.score import Item, score
from steerdose.files import write_json
from steerdose.model.architecture import find_blocks, text_config
from steerdose.model.loading import LoadedModel, load_model
from steerdose.model.sizes import sizes_of
from steerdose.steering.edits import Add
from steerdose.steering.intervention import UNSTEERED, Intervention
from steerdose.steering.steering import Steering
from steerdose.study.settings import MeasureSpeed

log = logging.getLogger(__name__)

FEW = 8  # rows, beside as many as the study decodes
STEPS = (1, 5)  # of decoding; what the second takes longer is decoding alone
READ = (16, 64)  # texts and tokens
TRAINED = (2, 32)
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}  # of training, under autocast
LEAST, MOST = 1.0, 5  # seconds of repeating what is quick, and how often at most


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

    step, row, lone_row: seconds that one more token takes for a batch, and for each of its rows with or without an
    unsteered twin, the steering in the middle of the model. read, trained: seconds a token; of training by precision,
    with gradients down to the first block. The rest are `Sizes`.
    """
    few, many = min(FEW, rows), max(FEW + 1, rows)
    steered = [Intervention(_steering(loaded), 1.0)] * many
    _decoding(loaded, steered[:2])  # the first forward allocates
    small, large = _decoding(loaded, steered[:few]), _decoding(loaded, steered)
    row = max(0.0, (large - small) / (many - few))
    step = max(0.0, small - row * few)
    lone = max(0.0, _decoding(loaded, [UNSTEERED] * many) - step) / many
    found = {"step": step, "row": row, "lone_row": lone, "read": _reading(loaded)}
    trained = {name: _training(loaded, dtype) for name, dtype in PRECISIONS.items()}
    log.info("%s", {**found, **trained})
    return {**found, "trained": trained, **asdict(sizes_of(loaded.model))}


def _steering(loaded: LoadedModel) -> Steering:
    """Return a steering of no effect in the middle of the model."""
    blocks, width = find_blocks(loaded.model), text_config(loaded.model).hidden_size
    return Steering("speed", ((blocks[len(blocks) // 2], Add(torch.full((width,), 1e-6))),), {})


def _ids(loaded: LoadedModel, n: int, seed: int = 0) -> tuple[int, ...]:
    drawn = torch.randint(
        text_config(loaded.model).vocab_size // 2, (n,), generator=torch.Generator().manual_seed(seed)
    )
    return tuple(drawn.tolist())


def _decoding(loaded: LoadedModel, interventions: Sequence[Intervention]) -> float:
    """Return the seconds of one token for a batch of rows."""
    requests = [Request(str(i), _ids(loaded, 16), each) for i, each in enumerate(interventions)]
    never = frozenset({text_config(loaded.model).vocab_size})  # a token that there is not

    def run(window: int) -> Callable[[], object]:
        return lambda: generate(loaded, requests, window=window, batch_size=len(requests), end_ids=never)

    one, all_ = (_seconds(run(window)) for window in STEPS)
    return max(1e-6, all_ - one) / (STEPS[1] - STEPS[0])


def _reading(loaded: LoadedModel) -> float:
    """Return the seconds of a token that is read at one of three doses."""
    count, length = READ
    items = [Item(str(i), {None: _ids(loaded, length, i)}, n_scored=1) for i in range(count)]
    doses = [UNSTEERED, *[Intervention(_steering(loaded), each) for each in (1.0, 2.0)]]
    return _seconds(lambda: score(loaded, doses, items, batch_rows=count * len(doses))) / (count * length * len(doses))


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
    """Return the median seconds of a run, repeated where it is quick."""
    took: list[float] = []
    while not took or (sum(took) < LEAST and len(took) < MOST):
        start = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        took.append(time.perf_counter() - start)
    return sorted(took)[len(took) // 2]
