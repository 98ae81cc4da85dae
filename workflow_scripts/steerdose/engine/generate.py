"""Batched greedy rollouts of a steered model with the KL against the unsteered model at every token.

Rows of many prompts and many coefficients share one batch, and each steered row has an unsteered twin in it that reads
the same tokens: both are scored through the same cached path and nothing of shape tokens x vocabulary is ever kept.
Below the first edited block a row and its twin are one row.
KL at token t = sum over the vocabulary of p_steered (log p_steered - log p_base), nats, fp32.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from steerdose.engine.cache import RowCache
from steerdose.engine.probe import READINGS, Fork, ForkPlan, read_packed
from steerdose.engine.rows import RowSplit, count_shared, split_rows
from steerdose.errors import NonFiniteLogitsError, SteerdoseError
from steerdose.flow.progress import bar
from steerdose.model.architecture import is_cacheable, layer_types
from steerdose.model.generation import only_given_settings
from steerdose.steering.steering import Dial, Steering, steer

log = logging.getLogger(__name__)

KL_ROWS = 8  # rows whose logits fit a CPU's second-level cache together
PACKED_TOKENS = 2048  # of suffixes in one forward


@dataclass(frozen=True)
class Request:
    """One trajectory to roll out: a prompt, its token ids, and the coefficient. `label` names it in errors.

    base_ids: the prompt that the unsteered model reads in front of the same tokens, where it is another one, such as
    the prompt without its system text; None: `ids`.
    """

    prompt_id: str
    ids: tuple[int, ...]
    coefficient: float
    label: str = ""
    base_ids: tuple[int, ...] | None = None

    @property
    def has_twin(self) -> bool:
        """Whether the unsteered model can differ: at coefficient 0 on the same prompt it is the same computation."""
        return self.coefficient != 0 or self.base_ids is not None

    @property
    def twin_ids(self) -> tuple[int, ...]:
        return self.ids if self.base_ids is None else self.base_ids


@dataclass
class Rollout:
    """What came of a request. token_ids and kl have one entry a generated token; the end-of-turn token is not one."""

    token_ids: list[int] = field(default_factory=list)
    kl: list[float] = field(default_factory=list)
    ended: bool = False
    forks: list[Fork] = field(default_factory=list)


def kl_divergence(steered: Tensor, base: Tensor) -> Tensor:
    """KL(steered || base) in nats from logits (rows, vocabulary); terms with p_steered = 0 count as 0."""
    log_p = steered.float() - steered.float().logsumexp(-1, keepdim=True)
    log_q = base.float() - base.float().logsumexp(-1, keepdim=True)
    p = log_p.exp()
    kl = (p * log_p.sub_(log_q)).sum(-1)  # not einsum: its dot product adds naively and loses 1e-4 of the value
    if not torch.isfinite(kl).all():  # a model may rule tokens out with -inf: 0 * (-inf + inf) is 0 here
        kl = torch.where(p > 0, p * log_p, 0.0).sum(-1)
    return kl.clamp_min_(0.0)


def roll_out(
    model: Any,
    steering: Steering | None,
    requests: Sequence[Request],
    *,
    window: int,
    end_ids: frozenset[int],
    batch_size: int,
    plan: ForkPlan | None = None,
    description: str = "rollouts",
) -> list[Rollout]:
    """Roll every request out greedily for at most `window` tokens; results come in the order of the requests.

    steering: None for the unsteered model. batch_size: steered rows at a time; each brings a twin. plan: the forks, of
    which a trajectory has those no later than its length; where there is no twin its reading is the steered one.
    Raises NonFiniteLogitsError on a steered logit that is not finite, and SteerdoseError on an unsteered one; they name
    the prompt, the dose and the token.
    """
    if steering is None and any(request.coefficient for request in requests):
        raise ValueError("a coefficient needs a steering")
    rollouts = [Rollout() for _ in requests]
    same_prompts = all(request.base_ids is None for request in requests)  # else twins differ in the first block
    together, n_shared = is_cacheable(model), count_shared(model, steering) if same_prompts else 0
    if not together:
        kinds = sorted(set(layer_types(model)))
        log.warning("layers %s cannot share a cache between rows: rolling prompts out one by one, slowly", kinds)
    context = steer(model, steering, 0.0) if steering else nullcontext(Dial(0.0))
    starts = range(0, len(requests), batch_size)
    with (
        torch.inference_mode(),
        context as dial,
        split_rows(model, n_shared) as split,
        bar(len(starts) * window, description) as progress,
    ):
        by_length = sorted(range(len(requests)), key=lambda i: (len(requests[i].ids), requests[i].prompt_id))
        for done, start in enumerate(starts, start=1):
            part = by_length[start : start + batch_size]
            batch = [(requests[i], rollouts[i]) for i in part]
            if together:
                _Batch(model, dial, split, n_shared, batch).run(window, end_ids, plan, progress.update)
            else:
                _run_plainly(model, dial, batch, window, end_ids, plan)
            progress.update(done * window - progress.n)
            for request, rollout in batch:
                if plan is not None and "unsteered" in plan.readings and not request.has_twin:
                    rollout.forks += [replace(fork, reading="unsteered") for fork in rollout.forks]
    return rollouts


class _Batch:
    """Rows that are decoded together: one a request, and one unsteered twin for each that has one.

    `owner` (rows,) is the request that a row belongs to and `twin` (rows,) says which rows are unsteered. `fed` (fed
    rows,) is the request of each row that the model is fed: one for a row and its twin where blocks are shared.
    """

    def __init__(
        self, model: Any, dial: Dial, split: RowSplit, n_shared: int, batch: list[tuple[Request, Rollout]]
    ) -> None:
        self.model, self.dial, self.split, self.n_shared = model, dial, split, n_shared
        self.requests = [request for request, _ in batch]
        self.rollouts = [rollout for _, rollout in batch]
        self.device = next(model.parameters()).device
        self.coefficients = torch.tensor([request.coefficient for request in self.requests])
        twins = torch.tensor([i for i, request in enumerate(self.requests) if request.has_twin], dtype=torch.long)
        self.owner = torch.cat([torch.arange(len(batch)), twins])
        self.twin = torch.cat([torch.zeros(len(batch), dtype=torch.bool), torch.ones(len(twins), dtype=torch.bool)])
        self.fed = torch.arange(len(batch)) if n_shared else self.owner

    def fed_row(self) -> Tensor:
        """Return the fed row that each row comes from."""
        place = torch.empty(len(self.requests), dtype=torch.long)
        place[self.fed] = torch.arange(len(self.fed))
        return place[self.owner] if self.n_shared else torch.arange(len(self.owner))

    def run(
        self,
        window: int,
        end_ids: frozenset[int],
        plan: ForkPlan | None,
        tick: Callable[[], object],
    ) -> None:
        logits = self.prefill(window)
        for t in range(1, window + 1):
            token = self.read(logits, t)
            done = torch.zeros(len(self.requests), dtype=torch.bool)
            for owner in self.owner[~self.twin].tolist():
                if int(token[owner]) in end_ids:
                    self.rollouts[owner].ended, done[owner] = True, True
                    self.rollouts[owner].kl.pop()
                else:
                    self.rollouts[owner].token_ids.append(int(token[owner]))
            if done.any():
                self.fork(done, plan)
                self.drop(done)
                if not len(self.owner):
                    return
            logits = self.feed(token)
            tick()
        self.fork(torch.ones(len(self.requests), dtype=torch.bool), plan)

    def prefill(self, window: int) -> Tensor:
        """Read the prompts, each unsteered one once, and return the last logits of every row."""
        pairs = list(zip((self.requests[owner] for owner in self.owner.tolist()), self.twin.tolist(), strict=True))
        of = [request.twin_ids if twin else request.ids for request, twin in pairs]
        unsteered = list({ids: None for ids, twin in zip(of, self.twin, strict=True) if twin})
        above = [request.ids for request in self.requests] + unsteered
        below = list(dict.fromkeys(above)) if self.n_shared else above
        self.prompt_width = max(map(len, below))
        padding = torch.tensor([self.prompt_width - len(ids) for ids in below])
        ids = torch.tensor([[0] * int(pad) + list(p) for p, pad in zip(below, padding, strict=True)])
        mask = torch.arange(self.prompt_width) >= padding[:, None]
        cache = RowCache(len(layer_types(self.model)), self.prompt_width, self.n_shared)
        self.dial.coefficient = torch.cat([self.coefficients, torch.zeros(len(unsteered))])
        place_below = {prompt: i for i, prompt in enumerate(below)}
        if self.n_shared:
            self.split.set(torch.tensor([place_below[prompt] for prompt in above]), len(below))
        logits = self.model(
            input_ids=ids.to(self.device),
            attention_mask=mask.to(self.device),
            position_ids=(mask.cumsum(-1) - 1).clamp_min(0).to(self.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        place = {prompt: len(self.requests) + i for i, prompt in enumerate(unsteered)}
        rows = torch.tensor(
            [place[p] if twin else o for p, o, twin in zip(of, self.owner.tolist(), self.twin.tolist(), strict=True)]
        )
        fed = torch.tensor([place_below[self.requests[o].ids] for o in self.fed.tolist()]) if self.n_shared else rows
        self.cache = cache.expanded(fed, rows, self.prompt_width + window)
        self.padding = padding[fed]
        self.mask = torch.cat([mask[fed], torch.ones(len(fed), window, dtype=torch.bool)], -1).to(self.device)
        return logits[rows]

    def read(self, logits: Tensor, t: int) -> Tensor:
        """Append the KL of token t to every rollout and return the chosen token of each request."""
        finite = torch.isfinite(logits.amax(-1)).cpu()
        if not finite.all():
            unsteered = self.twin | (self.coefficients[self.owner] == 0)
            wrong = ~finite & unsteered if (~finite & unsteered).any() else ~finite  # a broken model before a dose
            row = int(wrong.nonzero()[0])
            request = self.requests[int(self.owner[row])]
            who = "the unsteered model" if self.twin[row] else f"coefficient {request.coefficient:g} {request.label}"
            raise (SteerdoseError if unsteered[row] else NonFiniteLogitsError)(
                f"the logits are not finite for prompt '{request.prompt_id}' at token {t} ({who.strip()}): "
                "lower the dose, or set the model's dtype to float32"
            )
        steered, twins = (~self.twin).nonzero().flatten(), self.twin.nonzero().flatten()
        row_of = torch.full((len(self.requests),), -1)
        row_of[self.owner[steered]] = steered
        kl = torch.zeros(len(self.requests))
        for part in twins.split(KL_ROWS if self.device.type == "cpu" else len(twins) or 1):
            kl[self.owner[part]] = kl_divergence(logits[row_of[self.owner[part]]], logits[part]).cpu()
        for owner in self.owner[steered].tolist():
            self.rollouts[owner].kl.append(float(kl[owner]))
        best = logits.argmax(-1).cpu()
        return best[row_of]  # requests that are done get the last row's token, which nobody reads

    def feed(self, token: Tensor) -> Tensor:
        """Give every row its request's token and return the next logits, (rows, vocabulary)."""
        self.dial.coefficient = torch.where(self.twin, 0.0, self.coefficients[self.owner])
        if self.n_shared:
            self.split.set(self.fed_row(), len(self.fed))
        length = self.cache.get_seq_length()
        return self.model(
            input_ids=token[self.fed][:, None].to(self.device),
            attention_mask=self.mask[:, : length + 1],
            position_ids=(length - self.padding)[:, None].to(self.device),
            past_key_values=self.cache,
            use_cache=True,
        ).logits[:, -1]

    def drop(self, done: Tensor) -> None:
        """Take the rows of finished requests out of the batch."""
        fed, rows = self.cache.keep(*((~done[of]).nonzero().flatten() for of in (self.fed, self.owner)))
        self.owner, self.twin = self.owner[rows], self.twin[rows]
        self.fed, self.padding, self.mask = self.fed[fed], self.padding[fed], self.mask[fed.to(self.device)]

    def fork(self, done: Tensor, plan: ForkPlan | None) -> None:
        """Read the probes on the rows of finished requests, those with equally many forks together."""
        if plan is None:
            return
        groups: dict[int, list[int]] = defaultdict(list)
        for owner in self.owner[~self.twin & done[self.owner]].tolist():
            groups[len(plan.until(len(self.rollouts[owner].token_ids)).times)].append(owner)
        for part, owners in ((replace(plan, times=plan.times[:count]), groups[count]) for count in groups if count):
            per_forward = max(1, PACKED_TOKENS // part.n_queries)
            for chosen in torch.tensor(owners).split(per_forward):
                self.read_forks(part, torch.isin(self.owner, chosen))

    def read_forks(self, plan: ForkPlan, chosen: Tensor) -> None:
        """Read the forks of chosen rows, (rows,). Below the first edit the suffixes of a row and its twin are one."""
        rows = (chosen if "unsteered" in plan.readings else chosen & ~self.twin).nonzero().flatten()
        rows = rows[self.twin[rows].int().argsort(stable=True)]
        fed = rows
        if self.n_shared:
            fed, place = self.fed_row()[rows].unique(return_inverse=True)
            self.split.set(place, len(fed))
        texts = []
        for row, owner in zip(fed.tolist(), self.fed[fed].tolist(), strict=True):
            is_twin = not self.n_shared and bool(self.twin[row])
            ids = self.requests[owner].twin_ids if is_twin else self.requests[owner].ids
            texts.append([*ids, *self.rollouts[owner].token_ids])
        self.dial.coefficient = torch.where(self.twin, 0.0, self.coefficients[self.owner])[rows]
        readings = [READINGS[int(twin)] for twin in self.twin[rows]]
        prefix, padding = self.cache.prefix(fed, rows), self.padding[fed].to(self.device)
        found = read_packed(self.model, plan, texts, prefix, padding, self.prompt_width, readings)
        for owner, forks in zip(self.owner[rows].tolist(), found, strict=True):
            self.rollouts[owner].forks += forks


def _run_plainly(
    model: Any,
    dial: Dial,
    batch: list[tuple[Request, Rollout]],
    window: int,
    end_ids: frozenset[int],
    plan: ForkPlan | None,
) -> None:
    """The path for recurrent and hybrid layers: no padding, no shared cache, prefixes recomputed at every fork."""
    device = next(model.parameters()).device
    for request, rollout in batch:
        prompt = torch.tensor([request.ids], device=device)
        dial.coefficient = request.coefficient
        with only_given_settings(model):
            ids = model.generate(
                prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=window, do_sample=False,
                eos_token_id=sorted(end_ids), pad_token_id=min(end_ids),
            )  # fmt: skip
        steered = model(ids[:, :-1]).logits[0, prompt.shape[1] - 1 :]
        if not torch.isfinite(steered).all():
            raise (NonFiniteLogitsError if request.coefficient else SteerdoseError)(
                f"the logits are not finite for prompt '{request.prompt_id}' {request.label}"
            )
        tokens = ids[0, prompt.shape[1] :].tolist()
        rollout.ended = tokens[-1] in end_ids
        rollout.token_ids = tokens[: len(tokens) - rollout.ended]
        if request.has_twin:
            dial.coefficient = 0.0
            base_prompt = torch.tensor([request.twin_ids], device=device)
            seen = torch.cat([base_prompt, ids[:, prompt.shape[1] : -1]], -1)
            base = model(seen).logits[0, base_prompt.shape[1] - 1 :]
            rollout.kl = kl_divergence(steered, base)[: len(rollout.token_ids)].tolist()
        else:
            rollout.kl = [0.0] * len(rollout.token_ids)
        if plan is None:
            continue
        readers = {"steered": (request.ids, request.coefficient), "unsteered": (request.twin_ids, 0.0)}
        for reading in plan.readings[: 1 + request.has_twin]:
            ids_read, dial.coefficient = readers[reading]
            for name, probe in plan.probes.items():
                for t in plan.until(len(rollout.token_ids)).times:
                    text = [*ids_read, *rollout.token_ids[:t]]
                    context = torch.tensor([[*text, *probe.suffix_behind(text)]], device=device)
                    pmass, p_first, argmax = (float(value) for value in probe.read(model(context).logits[0, -1]))
                    rollout.forks.append(Fork(name, reading, t, pmass, p_first, int(argmax)))
