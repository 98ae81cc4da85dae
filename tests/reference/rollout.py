"""The obvious script: one trajectory at a time, steering written into a copy of the model, the base replayed over the
whole text, every fork recomputed from scratch. Slow, and easy to believe."""

import copy
from typing import NamedTuple

import torch
from steerdose.engine.probe import Probe
from steerdose.steering.edits import Add, Dense, LowRank
from steerdose.steering.steering import Steering
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


class Path(NamedTuple):
    """A trajectory: one token and one KL (nats) each, and whether an end token stopped it."""

    token_ids: list[int]
    kl: list[float]
    ended: bool


def steered_copy(model: nn.Module, steering: Steering, c: float) -> nn.Module:
    """Return a copy of the model with c dW added to its weights, or c v to a block's output."""
    steered = copy.deepcopy(model)
    modules = dict(steered.named_modules())
    for path, edit in steering.edits:
        module = modules[path]
        if isinstance(edit, Add):
            module.forward = _plus(module.forward, c * edit.v)
            continue
        if isinstance(edit, LowRank):
            delta = edit.B @ edit.A
        elif isinstance(edit, Dense):
            delta = edit.dW
        else:
            raise TypeError(f"no reference for {type(edit).__name__}")
        module.weight.data += c * (delta.T if isinstance(module, Conv1D) else delta)
    return steered


def _plus(forward, shift: Tensor):
    def shifted(*args, **kwargs):
        output = forward(*args, **kwargs)
        return (output[0] + shift, *output[1:]) if isinstance(output, tuple) else output + shift

    return shifted


def textbook_kl(steered: Tensor, base: Tensor) -> Tensor:
    p, q = steered.log_softmax(-1), base.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


def read_fork(model: nn.Module, ids: list[int], probe: Probe) -> tuple[float, float]:
    suffix = probe.in_thought if probe.is_thinking and probe.is_thinking(ids) else probe.suffix
    p = model(torch.tensor([[*ids, *suffix]])).logits[0, -1].float().softmax(-1)
    first, second = (sum(float(p[i]) for i in answer) for answer in (probe.first, probe.second))
    return first + second, first / (first + second)


@torch.inference_mode()
def generate_one(
    base: nn.Module,
    steered: nn.Module,
    ids: list[int],
    window: int,
    end_ids: frozenset[int],
    probes: dict[str, Probe],
    times,
    base_ids: list[int] | None = None,
) -> tuple[Path, list[tuple[str, str, int, float, float]]]:
    """Return the trajectory with its KLs, and the forks as (probe, reading, t, pmass, p_first), steered ones first.

    base_ids: the base's prompt.
    """
    prompt = torch.tensor([ids])
    whole = steered.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=window,
        do_sample=False,
        eos_token_id=sorted(end_ids),
        pad_token_id=min(end_ids),
    )
    tokens = whole[0, len(ids) :].tolist()
    ended = tokens[-1] in end_ids
    tokens = tokens[: len(tokens) - ended]
    readers = {"steered": (steered, ids), "unsteered": (base, base_ids or ids)}
    logits = [
        model(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : len(prompt) - 1 + len(tokens)]
        for model, prompt in readers.values()
    ]
    forks = [
        (name, reading, t, *read_fork(model, prompt + tokens[:t], probe))
        for reading, (model, prompt) in readers.items()
        for name, probe in probes.items()
        for t in times
        if t <= len(tokens)
    ]
    return Path(tokens, textbook_kl(*logits).tolist(), ended), forks
