"""The path for models whose rows cannot share a cache: recurrent and hybrid layers, ALiBi. One prompt at a time."""

from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor

from steerdose.engine.decoding import Chooser
from steerdose.engine.divergence import divergence
from steerdose.engine.probe import Fork, ForkPlan
from steerdose.engine.requests import Request, Trajectory
from steerdose.errors import NonFiniteLogitsError, SteerdoseError
from steerdose.model.generation import only_given_settings
from steerdose.steering.intervention import Dials


class Chosen(LogitsProcessor):
    """Leaves a request of a batch, at this place, no token but the one that the batch's chooser takes."""

    def __init__(self, chooser: Chooser, place: int, n_prompt: int) -> None:
        self.chooser, self.place, self.n_prompt = chooser, torch.tensor([place]), n_prompt

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        token = self.chooser.choose(scores, self.place, input_ids.shape[1] - self.n_prompt + 1)
        return torch.full_like(scores, -torch.inf).scatter(-1, token.to(scores.device)[:, None], 0.0)


def generate_plainly(
    model: Any,
    dials: Dials,
    request: Request,
    trajectory: Trajectory,
    window: int,
    end_ids: frozenset[int],
    plan: ForkPlan | None,
    chosen: Chosen,
) -> None:
    """Generate one trajectory into `trajectory`: no padding, no shared cache, prefixes recomputed at every fork."""
    device = model.device
    steered_at = dials.coefficients([request.intervention], "prompt")[:, 0]
    prompt = torch.tensor([request.ids], device=device)
    dials.turn(steered_at)
    with only_given_settings(model):
        ids = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=window, do_sample=False,
            eos_token_id=sorted(end_ids), pad_token_id=min(end_ids), logits_processor=[chosen],
        )  # fmt: skip
    steered = model(ids[:, :-1]).logits[0, prompt.shape[1] - 1 :]
    if not torch.isfinite(steered).all():
        raise (NonFiniteLogitsError if request.intervention.coefficient else SteerdoseError)(
            f"the logits are not finite for prompt '{request.prompt_id}' {request.intervention.label}"
        )
    tokens = ids[0, prompt.shape[1] :].tolist()
    trajectory.ended = tokens[-1] in end_ids
    trajectory.token_ids = tokens[: len(tokens) - trajectory.ended]
    base = steered
    if request.has_twin:
        dials.turn(torch.zeros_like(steered_at))
        base_prompt = torch.tensor([request.twin_ids], device=device)
        seen = torch.cat([base_prompt, ids[:, prompt.shape[1] : -1]], -1)
        base = model(seen).logits[0, base_prompt.shape[1] - 1 :]
    for numbers in zip(*[each.tolist() for each in divergence(steered, base, ids[0, prompt.shape[1] :])], strict=True):
        trajectory.keep(*numbers)
    if trajectory.ended:
        trajectory.drop_last()
    if plan is not None:
        _fork_plainly(model, dials, request, trajectory, plan)


def _fork_plainly(model: Any, dials: Dials, request: Request, trajectory: Trajectory, plan: ForkPlan) -> None:
    """Read the forks of a trajectory, one forward each."""
    device = model.device
    steered_at = dials.coefficients([request.intervention], "prompt")[:, 0]
    readers = {"steered": (request.ids, steered_at), "unsteered": (request.twin_ids, torch.zeros_like(steered_at))}
    for reading in plan.readings[: 1 + request.has_twin]:
        ids, coefficients = readers[reading]
        dials.turn(coefficients)
        for name, asked in plan.probes.items():
            probe = asked.of(request.prompt_id)
            for t in plan.until(len(trajectory.token_ids)).times:
                text = [*ids, *trajectory.token_ids[:t]]
                context = torch.tensor([[*text, *probe.suffix_behind(text)]], device=device)
                read = (value.item() for value in probe.read(model(context).logits[0, -1]))
                trajectory.forks.append(Fork(name, reading, t, *read))  # type: ignore[arg-type]
