"""The verb generate: batched trajectories under interventions, with the KL against the unsteered model.

Rows of many prompts, doses and steerings share one batch, each with an unsteered twin (see `batch`).
KL at token t = sum over the vocabulary of p_steered (log p_steered - log p_base), nats, fp32.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from steerdose.engine.batch import Batch
from steerdose.engine.decoding import Chooser
from steerdose.engine.memory import Fitting
from steerdose.engine.plain import Chosen, generate_plainly
from steerdose.engine.probe import ForkPlan
from steerdose.engine.requests import Request, Trajectory
from steerdose.engine.rows import count_shared, split_rows
from steerdose.errors import SteerdoseError
from steerdose.flow.progress import Bar
from steerdose.model import chat
from steerdose.model.architecture import is_cacheable, layer_types
from steerdose.model.loading import LoadedModel
from steerdose.model.sizes import sizes_of
from steerdose.steering.intervention import activate, steerings_of
from steerdose.steering.steering import Steering
from steerdose.study.blocks import blocks
from steerdose.study.memory import row_bytes

log = logging.getLogger(__name__)


def generate(
    loaded: LoadedModel,
    requests: Sequence[Request],
    *,
    window: int,
    batch_size: int,
    plan: ForkPlan | None = None,
    end_ids: frozenset[int] | None = None,
    description: str = "rollouts",
) -> list[Trajectory]:
    """Generate every request for at most `window` tokens; results come in the order of the requests.

    batch_size: steered rows at a time, fewer where memory is short; each brings a twin. Requests are cut by `blocks`
    into whole prompts, told by prompt_id, of which all are to have equally many. plan: the forks, of which a
    trajectory has those no later than its length; where there is no twin its reading is the steered one.
    end_ids: None: those of the tokenizer and the model.
    Raises NonFiniteLogitsError on a steered logit that is not finite, and SteerdoseError on an unsteered one; they name
    the prompt, the dose and the token.
    """
    model, trajectories = loaded.model, dict[int, Trajectory]()
    ends = chat.end_ids(loaded.tokenizer, model.generation_config) if end_ids is None else end_ids
    steerings = steerings_of([request.intervention for request in requests])
    together, n_shared = _sharing(model, requests, steerings)
    fitting = Fitting(loaded.devices, request_bytes(model, requests, window, n_shared))
    with (
        torch.inference_mode(),
        activate(model, steerings) as dials,
        split_rows(model, n_shared) as split,
        Bar(len(requests) * window, description) as progress,
    ):

        def roll(part: Sequence[int]) -> None:
            trajectories.update((i, Trajectory()) for i in part)
            batch = [(requests[i], trajectories[i]) for i in part]
            chooser, tick = Chooser([request for request, _ in batch], window), partial(progress.update, len(part))
            if together:
                Batch(model, dials, split, n_shared, batch, chooser, graphs=loaded.graphs).run(window, ends, plan, tick)
            else:
                for place, (request, trajectory) in enumerate(batch):
                    chosen = Chosen(chooser, place, len(request.ids))
                    generate_plainly(model, dials, request, trajectory, window, ends, plan, chosen)
            progress.reach(len(trajectories) * window)

        for batch in _batches(requests, batch_size):
            fitting.run(batch, roll)
    found = [trajectories[i] for i in range(len(requests))]
    if plan is not None and "unsteered" in plan.readings:
        for trajectory in (each for request, each in zip(requests, found, strict=True) if not request.has_twin):
            trajectory.forks += [replace(fork, reading="unsteered") for fork in trajectory.forks]
    return found


def request_bytes(model: Any, requests: Sequence[Request], window: int, n_shared: int) -> float:
    """Return the bytes of a request in a batch: its row, and above the first edited block its twin."""
    sizes, width = sizes_of(model), max((len(request.ids) for request in requests), default=0) + window
    depth = len(layer_types(model))
    rows = 1 + (depth - n_shared) / depth * any(request.has_twin for request in requests)
    return rows * row_bytes(width, sizes.cache, sizes.vocabulary, model.dtype.itemsize)


def _batches(requests: Sequence[Request], batch_size: int) -> Iterator[list[int]]:
    """Yield the indices of the requests of each batch: a block sorted by length, or parts of one that is too large."""
    prompts: dict[str, list[int]] = defaultdict(list)
    for i, request in enumerate(requests):
        prompts[request.prompt_id].append(i)
    rows = list(prompts.values())
    for block in blocks(len(rows), max(map(len, rows), default=1), batch_size):
        chosen = sorted(
            (i for prompt in block for i in rows[prompt]), key=lambda i: (len(requests[i].ids), requests[i].prompt_id)
        )
        yield from (chosen[start : start + batch_size] for start in range(0, len(chosen), batch_size))


def _sharing(model: Any, requests: Sequence[Request], steerings: Sequence[Steering]) -> tuple[bool, int]:
    """Return whether rows share a cache, and how many of the first blocks a row and its twin share.

    Says where they do not; raises SteerdoseError where such rows are to be steered at some tokens alone.
    """
    same_prompts = all(request.base_ids is None for request in requests)  # else twins differ in the first block
    if is_cacheable(model):
        return True, count_shared(model, steerings) if same_prompts else 0
    kinds = sorted(set(layer_types(model)))
    log.warning("layers %s cannot share a cache between rows: rolling prompts out one by one, slowly", kinds)
    if any(request.intervention.positions != "all" for request in requests):
        raise SteerdoseError(
            "positions: rows of this model cannot share a cache, and so its prompts and generated tokens cannot be "
            "steered apart; set positions: all"
        )
    return False, 0
