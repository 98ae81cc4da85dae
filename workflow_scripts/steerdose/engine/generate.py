"""The verb generate: batched trajectories under interventions, with the KL against the unsteered model.

Rows of many prompts, doses and steerings share one batch, each with an unsteered twin (see `batch`).
KL at token t = sum over the vocabulary of p_steered (log p_steered - log p_base), nats, fp32.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from steerdose.engine.batch import Batch
from steerdose.engine.decoding import Chooser
from steerdose.engine.plain import Chosen, generate_plainly
from steerdose.engine.probe import ForkPlan
from steerdose.engine.requests import Request, Trajectory
from steerdose.engine.rows import count_shared, split_rows
from steerdose.errors import SteerdoseError
from steerdose.flow.progress import bar
from steerdose.model import chat
from steerdose.model.architecture import is_cacheable, layer_types
from steerdose.model.loading import LoadedModel
from steerdose.steering.intervention import activate, steerings_of
from steerdose.study.blocks import blocks

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

    batch_size: steered rows at a time; each brings a twin. Requests are cut by `blocks` into whole prompts, told by
    prompt_id, of which all are to have equally many. plan: the forks, of which a trajectory has those no later than its
    length; where there is no twin its reading is the steered one.
    end_ids: None: those of the tokenizer and the model.
    Raises NonFiniteLogitsError on a steered logit that is not finite, and SteerdoseError on an unsteered one; they name
    the prompt, the dose and the token.
    """
    model, trajectories = loaded.model, [Trajectory() for _ in requests]
    ends = chat.end_ids(loaded.tokenizer, model.generation_config) if end_ids is None else end_ids
    steerings = steerings_of([request.intervention for request in requests])
    same_prompts = all(request.base_ids is None for request in requests)  # else twins differ in the first block
    together, n_shared = is_cacheable(model), count_shared(model, steerings) if same_prompts else 0
    if not together:
        _refuse_positions(requests)
        kinds = sorted(set(layer_types(model)))
        log.warning("layers %s cannot share a cache between rows: rolling prompts out one by one, slowly", kinds)
    batches = list(_batches(requests, batch_size))
    with (
        torch.inference_mode(),
        activate(model, steerings) as dials,
        split_rows(model, n_shared) as split,
        bar(len(batches) * window, description) as progress,
    ):
        for done, part in enumerate(batches, start=1):
            batch = [(requests[i], trajectories[i]) for i in part]
            chooser = Chooser([request for request, _ in batch], window)
            if together:
                Batch(model, dials, split, n_shared, batch, chooser).run(window, ends, plan, progress.update)
            else:
                for place, (request, trajectory) in enumerate(batch):
                    chosen = Chosen(chooser, place, len(request.ids))
                    generate_plainly(model, dials, request, trajectory, window, ends, plan, chosen)
            progress.reach(done * window)
            for request, trajectory in batch:
                if plan is not None and "unsteered" in plan.readings and not request.has_twin:
                    trajectory.forks += [replace(fork, reading="unsteered") for fork in trajectory.forks]
    return trajectories


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


def _refuse_positions(requests: Sequence[Request]) -> None:
    """Raise SteerdoseError where a model that rolls prompts out one by one is to be steered at some tokens alone."""
    if any(request.intervention.positions != "all" for request in requests):
        raise SteerdoseError(
            "positions: rows of this model cannot share a cache, and so its prompts and generated tokens cannot be "
            "steered apart; set positions: all"
        )
