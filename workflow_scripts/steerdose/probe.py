"""The forced-choice probe: after t generated tokens, can the model still answer?

A fork appends the probe's suffix to the prompt and the first t tokens and reads the next-token mass on two answers:
pmass = p(first) + p(second), p_first = p(first) / pmass. All forks of a row are scored in one packed forward.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import chat
from .errors import SteerdoseError
from .models import layer_types, text_config
from .row_cache import RowCache
from .steering import Dial

PACKED_TOKENS = 2048


@dataclass(frozen=True)
class Probe:
    """What is appended at a fork, and which next tokens count as which answer. All are token ids."""

    suffix: tuple[int, ...]
    first: tuple[int, ...]
    second: tuple[int, ...]

    def read(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return pmass, p_first and the most likely token. logits: (..., vocabulary), each result: (...)."""
        p = logits.float().softmax(-1)
        first, second = p[..., list(self.first)].sum(-1), p[..., list(self.second)].sum(-1)
        pmass = first + second
        return pmass, first / pmass.clamp_min(torch.finfo(torch.float32).tiny), logits.argmax(-1)


@dataclass(frozen=True)
class Fork:
    """One reading of the probe after t generated tokens."""

    t: int
    pmass: float
    p_first: float
    argmax: int


def spellings(tokenizer: Any, suffix: str, answer: str) -> list[int]:
    """Return the first token of every spelling of `answer` (case, leading space) that can follow `suffix`."""
    start = chat.encode(tokenizer, suffix)
    ids = set()
    for word in (answer, answer.lower(), answer.capitalize(), answer.upper()):
        for space in ("", " "):
            whole = chat.encode(tokenizer, suffix + space + word)
            if whole[: len(start)] == start and len(whole) > len(start):
                ids.add(whole[len(start)])
    return sorted(ids)


def build_probe(tokenizer: Any, kind: str, prefill: str, answers: Sequence[str], question: str | None = None) -> Probe:
    """Build the probe from its config entry.

    kind `interrupt` ends the assistant's turn, asks `question` as the user and opens a new turn with `prefill`;
    `splice` writes `prefill` straight into the assistant's turn. White space at the end of the prefill is dropped: it
    would become a token of its own and hide answers that are spelled with a leading space.
    """
    prefill = prefill.rstrip()
    if kind == "interrupt":
        suffix = chat.interrupt_ids(tokenizer, chat.conversation("?"), question or "", prefill)
    else:
        suffix = chat.encode(tokenizer, prefill)
    first, second = (set(spellings(tokenizer, prefill, answer)) for answer in answers)
    if not first - second or not second - first:
        raise SteerdoseError(
            f"probe.answers {list(answers)} cannot be told apart by their first token after '{prefill}' "
            f"(first tokens {sorted(first)} and {sorted(second)}); choose other answers or another probe.prefill"
        )
    return Probe(tuple(suffix), tuple(sorted(first - second)), tuple(sorted(second - first)))


def packed_forks(
    model: Any,
    dial: Dial,
    probe: Probe,
    times: Sequence[int],
    cache: RowCache,
    shared: Tensor,
    rows: Tensor,
    coefficients: Tensor,
    padding: Tensor,
    prompt_width: int,
) -> list[list[Fork]]:
    """Read the probe at all `times` of some rows of a rollout in few forwards.

    shared, rows, coefficients, padding: (rows,), the cache row in shared layers and in the others, the coefficient and
    the number of left-padding slots of each; prompt_width: slots that hold prompts. The cache must hold every generated
    token up to the last time.
    """
    per_forward = max(1, PACKED_TOKENS // (len(times) * len(probe.suffix)))
    forks: list[list[Fork]] = []
    for part in torch.arange(len(rows)).split(per_forward):
        dial.coefficient = coefficients[part]
        prefix = cache.prefix(shared[part], rows[part])
        logits = _packed_logits(model, probe, times, prefix, padding[part], prompt_width)
        readings = [reading.tolist() for reading in probe.read(logits)]
        forks += [
            [Fork(t, *values) for t, *values in zip(times, *row, strict=True)] for row in zip(*readings, strict=True)
        ]
    return forks


def _packed_logits(
    model: Any, probe: Probe, times: Sequence[int], prefix: Any, padding: Tensor, prompt_width: int
) -> Tensor:
    """Return the logits behind each fork's suffix, (rows, times, vocabulary)."""
    device, length = padding.device, len(probe.suffix)
    suffix = torch.tensor(probe.suffix, device=device)
    fork = torch.arange(len(times), device=device).repeat_interleave(length)  # (queries,)
    step = torch.arange(length, device=device).repeat(len(times))
    time = torch.tensor(times, device=device)[fork]
    positions = prompt_width - padding[:, None] + time + step  # (rows, queries)

    slot = torch.arange(prefix.get_seq_length(), device=device)
    seen = (slot >= padding[:, None, None]) & (slot < prompt_width + time[:, None])  # (rows, queries, slots)
    own = (fork[:, None] == fork) & (step <= step[:, None])  # (queries, queries)
    allowed = torch.cat([seen, own.expand(len(padding), -1, -1)], -1)
    key_positions = torch.cat([(slot - padding[:, None]), positions], -1)
    distance = positions[:, :, None] - key_positions[:, None, :]

    kept = torch.arange(1, len(times) + 1, device=device) * length - 1
    return model(
        input_ids=suffix.repeat(len(padding), len(times)),
        attention_mask=_masks(model, allowed, distance),
        position_ids=positions,
        past_key_values=prefix,
        use_cache=True,
        logits_to_keep=kept,
    ).logits


def _masks(model: Any, allowed: Tensor, distance: Tensor) -> Tensor | dict[str, Tensor]:
    """Return the additive mask (rows, 1, queries, keys), or one for each layer type where the model mixes them."""
    dtype = next(model.parameters()).dtype
    window = getattr(text_config(model), "sliding_window", None) or 0
    masks = {}
    for kind in sorted(set(layer_types(model))):
        inside = allowed & (distance < window) if kind == "sliding_attention" else allowed
        masks[kind] = torch.zeros(inside.shape, dtype=dtype, device=inside.device).masked_fill_(
            ~inside, torch.finfo(dtype).min
        )[:, None]
    return masks if len(masks) > 1 else next(iter(masks.values()))
