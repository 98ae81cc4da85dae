"""The forced-choice probe: after t generated tokens, can the model still answer?

A fork appends the probe's suffix to the prompt and the first t tokens and reads the next-token mass on two answers:
pmass = p(first) + p(second), p_first = p(first) / pmass. All forks of a row are scored in one packed forward. The
steered model and the unsteered one read the same fork: what only the first cannot answer is damage of its readout, what
neither can is damage of the text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from steerdose.errors import SteerdoseError
from steerdose.model import chat
from steerdose.model.architecture import layer_types, text_config

READINGS = ("steered", "unsteered")


@dataclass(frozen=True)
class Probe:
    """What is appended at a fork, and which next tokens count as which answer. All are token ids.

    in_thought: what is appended instead where `is_thinking` says that the text ends inside a think block; it closes the
    block first. answers: as texts. by_prompt: what is asked behind one prompt, where each is asked another thing.
    """

    def of(self, prompt_id: str) -> "Probe":
        """Return what is asked behind a prompt."""
        return self.by_prompt.get(prompt_id, self)

    @property
    def longest(self) -> int:
        """How many tokens are appended to a text at most."""
        return max(len(ids) for each in (self, *self.by_prompt.values()) for ids in (each.suffix, each.in_thought))

    suffix: tuple[int, ...]
    first: tuple[int, ...]
    second: tuple[int, ...]
    in_thought: tuple[int, ...] = ()
    is_thinking: Callable[[Sequence[int]], bool] | None = field(default=None, compare=False, repr=False)
    answers: tuple[str, ...] = ()
    by_prompt: Mapping[str, "Probe"] = field(default_factory=dict, compare=False, repr=False)

    def suffix_behind(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Return what is appended to a text."""
        return self.in_thought if self.is_thinking and self.is_thinking(ids) else self.suffix

    def read(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return pmass, p_first, the most likely token and whether it is an answer; (..., vocabulary) to (...)."""
        p = logits.float().softmax(-1)
        first, second = p[..., list(self.first)].sum(-1), p[..., list(self.second)].sum(-1)
        pmass = first + second
        best = logits.argmax(-1)
        is_answer = torch.isin(best, torch.tensor([*self.first, *self.second], device=best.device))
        return pmass, first / pmass.clamp_min(torch.finfo(torch.float32).tiny), best, is_answer


@dataclass(frozen=True)
class Fork:
    """One reading of a probe after t generated tokens, by the `steered` or the `unsteered` model."""

    probe: str
    reading: str
    t: int
    pmass: float
    p_first: float
    argmax: int
    is_answer: bool


def spellings(tokenizer: Any, suffix: str, answer: str) -> set[tuple[int, ...]]:
    """Return the tokens of every spelling of `answer` (case, leading space) that can follow `suffix`.

    A single letter has the given case only: ` a` is an article, not the choice A.
    """
    start, cases = chat.encode(tokenizer, suffix), (answer, answer.lower(), answer.capitalize(), answer.upper())
    spelled = [space + word for word in (cases if len(answer) > 1 else cases[:1]) for space in ("", " ")]
    wholes = [tuple(chat.encode(tokenizer, suffix + text)) for text in spelled]
    return {ids[len(start) :] for ids in wholes if list(ids[: len(start)]) == start and len(ids) > len(start)}


def answer_tokens(tokenizer: Any, suffix: str, answers: Sequence[str]) -> list[set[int]]:
    """Return the tokens that count as each answer: the spellings that are one token.

    Where a spelling is longer its first token begins other words too, as `F` of FALSE does. A tokenizer that has no
    token for some answer, such as one of bytes, leaves no choice: then first tokens count, for all answers alike.
    """
    spelled = [spellings(tokenizer, suffix, answer) for answer in answers]
    whole = [{ids[0] for ids in found if len(ids) == 1} for found in spelled]
    return whole if all(whole) else [{ids[0] for ids in found} for found in spelled]


def answer_sets(
    tokenizer: Any, suffix: str, answers: Sequence[str], key: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the tokens of each of two answers behind `suffix`, without those of both; `key` names them in errors."""
    first, second = answer_tokens(tokenizer, suffix, answers)
    if not first - second or not second - first:
        raise SteerdoseError(
            f"{key} {list(answers)} cannot be told apart by their first token after '{suffix}' "
            f"(tokens {sorted(first)} and {sorted(second)}); choose other answers or another prefill"
        )
    return tuple(sorted(first - second)), tuple(sorted(second - first))


def build_probe(
    tokenizer: Any, kind: str, prefill: str, answers: Sequence[str], question: str | None = None, name: str = "<name>"
) -> Probe:
    """Build the probe of a config entry, `name` in errors.

    kind `interrupt` ends the assistant's turn, asks `question` as the user and opens a new turn with `prefill`;
    `splice` writes `prefill` straight into the assistant's turn. White space at the end of the prefill is dropped: it
    would become a token of its own and hide answers that are spelled with a leading space.
    """
    prefill, tags = prefill.rstrip(), chat.think_tags(tokenizer)
    suffix, in_thought = (
        chat.interrupt_ids(tokenizer, chat.conversation("?"), question or "", prefill, closing)
        if kind == "interrupt"
        else chat.encode(tokenizer, closing + prefill)
        for closing in ("", tags.closing if tags else "")
    )
    first, second = answer_sets(tokenizer, prefill, answers, f"probes.{name}.answers")
    probe = Probe(tuple(suffix), first, second, tuple(in_thought), answers=tuple(answers))
    return replace(probe, is_thinking=lambda ids: tags.are_open(tokenizer.decode(ids))) if tags else probe


def build_recall(
    tokenizer: Any, prefill: str, topics: Mapping[str, tuple[str, str]], question: str, name: str = "<name>"
) -> Probe:
    """Build a probe that asks behind each prompt which of two topics it was about. topics: by prompt."""
    probes = {
        prompt: build_probe(tokenizer, "interrupt", prefill, both, question.format(first=both[0], second=both[1]), name)
        for prompt, both in topics.items()
    }
    return replace(next(iter(probes.values())), by_prompt=probes)


@dataclass(frozen=True)
class ForkPlan:
    """Which probes are read after how many generated tokens, and by whom: `READINGS` or its first alone."""

    probes: Mapping[str, Probe]
    times: Sequence[int]
    readings: Sequence[str] = READINGS

    def behind(self, prompt_id: str) -> list[Probe]:
        """Return what is asked behind a prompt."""
        return [probe.of(prompt_id) for probe in self.probes.values()]

    def until(self, length: int) -> "ForkPlan":
        """Return the part of the plan that a text of `length` tokens has."""
        return replace(self, times=[t for t in self.times if t <= length])

    @property
    def n_queries(self) -> int:
        """How many tokens are appended to a text at most."""
        return len(self.times) * sum(probe.longest for probe in self.probes.values())


def read_packed(
    model: Any,
    plan: ForkPlan,
    texts: Sequence[Sequence[int]],
    prefix: Any,
    padding: Tensor,
    prompt_width: int,
    prompts: Sequence[str],
    rows: Sequence[tuple[str, str]],
) -> list[list[Fork]]:
    """Read all probes of a plan at all its times, on many rows in one forward.

    texts: the prompt and the generated tokens of every row that is fed. prefix: a cache that holds them, prompts padded
    on the left to `prompt_width` slots, padding: (rows fed,), how many of these slots are empty.
    prompts: the prompt_id of every row that is fed. rows: prompt_id and reading of each row that comes out of the
    model, which may be others than are fed (see row_split); returns their forks.
    """
    forks = [(name, t) for name in plan.probes for t in plan.times]
    n_prompts = [prompt_width - pad for pad in padding.tolist()]
    suffixes = [
        [plan.probes[name].of(prompt).suffix_behind(text[: n + t]) for name, t in forks]
        for text, n, prompt in zip(texts, n_prompts, prompts, strict=True)
    ]
    logits = _packed_logits(model, suffixes, [t for _, t in forks], prefix, padding, prompt_width)
    found: list[list[Fork]] = [[] for _ in rows]
    for (name, probe), part in zip(plan.probes.items(), logits.split(len(plan.times), dim=1), strict=True):
        for row, (prompt, reading), own in zip(found, rows, part, strict=True):
            numbers = [value.tolist() for value in probe.of(prompt).read(own)]
            row += [Fork(name, reading, t, *each) for t, *each in zip(plan.times, *numbers, strict=True)]
    return found


def _packed_logits(
    model: Any,
    suffixes: Sequence[Sequence[Sequence[int]]],
    times: Sequence[int],
    prefix: Any,
    padding: Tensor,
    prompt_width: int,
) -> Tensor:
    """Return the logits behind each suffix, (rows, forks, vocabulary).

    suffixes: of each row and fork. times: (forks,). Suffixes of one fork end at the same place and are padded on the
    left; each sees its prompt, its first t tokens and itself.
    """
    device = padding.device
    length = torch.tensor([[len(suffix) for suffix in row] for row in suffixes], device=device)  # (rows, forks)
    width = length.amax(0).tolist()
    ids = [[i for w, s in zip(width, row, strict=True) for i in (*[0] * (w - len(s)), *s)] for row in suffixes]
    fork = torch.arange(len(times), device=device).repeat_interleave(length.amax(0))  # (queries,)
    end = length.amax(0).cumsum(0)
    step = torch.arange(len(fork), device=device) - end[fork] + length[:, fork]  # (rows, queries), below 0: padding
    time = torch.tensor(times, device=device)[fork]
    positions = prompt_width - padding[:, None] + time + step.clamp_min(0)  # (rows, queries)

    slot = torch.arange(prefix.get_seq_length(), device=device)
    seen = (slot >= padding[:, None, None]) & (slot < prompt_width + time[:, None])  # (rows, queries, slots)
    own = (fork[:, None] == fork) & (step[:, None, :] <= step[:, :, None]) & (step[:, None, :] >= 0)
    allowed = torch.cat([seen, own], -1)  # (rows, queries, keys)
    key_positions = torch.cat([(slot - padding[:, None]), positions], -1)
    distance = positions[:, :, None] - key_positions[:, None, :]
    return model(
        input_ids=torch.tensor(ids, device=device),
        attention_mask=_masks(model, allowed, distance),
        position_ids=positions,
        past_key_values=prefix,
        use_cache=True,
        logits_to_keep=end - 1,
    ).logits


def _masks(model: Any, allowed: Tensor, distance: Tensor) -> Tensor | dict[str, Tensor]:
    """Return the additive mask (rows, 1, queries, keys), or one for each layer type where the model mixes them."""
    dtype = model.dtype
    window = getattr(text_config(model), "sliding_window", None) or 0
    masks = {}
    for kind in sorted(set(layer_types(model))):
        inside = allowed & (distance < window) if kind == "sliding_attention" else allowed
        masks[kind] = torch.zeros(inside.shape, dtype=dtype, device=inside.device).masked_fill_(
            ~inside, torch.finfo(dtype).min
        )[:, None]
    return masks if len(masks) > 1 else next(iter(masks.values()))
