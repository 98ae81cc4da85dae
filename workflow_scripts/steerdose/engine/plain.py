"""The path for models whose rows cannot share a cache: recurrent and hybrid layers, ALiBi. One prompt at a time."""

from typing import Any

import torch

from steerdose.engine.divergence import kl_divergence
from steerdose.engine.probe import Fork, ForkPlan
from steerdose.engine.requests import Request, Trajectory
from steerdose.errors import NonFiniteLogitsError, SteerdoseError
from steerdose.model.generation import only_given_settings
from steerdose.steering.intervention import Dials


def generate_plainly(
    model: Any,
    dials: Dials,
    request: Request,
    trajectory: Trajectory,
    window: int,
    end_ids: frozenset[int],
    plan: ForkPlan | None,
) -> None:
    """Generate one trajectory into `trajectory`: no padding, no shared cache, prefixes recomputed at every fork."""
    device = next(model.parameters()).device
    steered_at = dials.coefficients([request.intervention])[:, 0]
    prompt = torch.tensor([request.ids], device=device)
    dials.turn(steered_at)
    with only_given_settings(model):
        ids = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=window, do_sample=False,
            eos_token_id=sorted(end_ids), pad_token_id=min(end_ids),
        )  # fmt: skip
    steered = model(ids[:, :-1]).logits[0, prompt.shape[1] - 1 :]
    if not torch.isfinite(steered).all():
        raise (NonFiniteLogitsError if request.intervention.coefficient else SteerdoseError)(
            f"the logits are not finite for prompt '{request.prompt_id}' {request.intervention.label}"
        )
    tokens = ids[0, prompt.shape[1] :].tolist()
    trajectory.ended = tokens[-1] in end_ids
    trajectory.token_ids = tokens[: len(tokens) - trajectory.ended]
    if request.has_twin:
        dials.turn(torch.zeros_like(steered_at))
        base_prompt = torch.tensor([request.twin_ids], device=device)
        seen = torch.cat([base_prompt, ids[:, prompt.shape[1] : -1]], -1)
        base = model(seen).logits[0, base_prompt.shape[1] - 1 :]
        trajectory.kl = kl_divergence(steered, base)[: len(trajectory.token_ids)].tolist()
    else:
        trajectory.kl = [0.0] * len(trajectory.token_ids)
    if plan is not None:
        _fork_plainly(model, dials, request, trajectory, plan)


def _fork_plainly(model: Any, dials: Dials, request: Request, trajectory: Trajectory, plan: ForkPlan) -> None:
    """Read the forks of a trajectory, one forward each."""
    device = next(model.parameters()).device
    steered_at = dials.coefficients([request.intervention])[:, 0]
    readers = {"steered": (request.ids, steered_at), "unsteered": (request.twin_ids, torch.zeros_like(steered_at))}
    for reading in plan.readings[: 1 + request.has_twin]:
        ids, coefficients = readers[reading]
        dials.turn(coefficients)
        for name, probe in plan.probes.items():
            for t in plan.until(len(trajectory.token_ids)).times:
                text = [*ids, *trajectory.token_ids[:t]]
                context = torch.tensor([[*text, *probe.suffix_behind(text)]], device=device)
                pmass, p_first, argmax = (float(value) for value in probe.read(model(context).logits[0, -1]))
                trajectory.forks.append(Fork(name, reading, t, pmass, p_first, int(argmax)))
