"""Rows that are decoded together, with the KL, NLL and entropy of each token and the forks of each that ends.

Each steered row has an unsteered twin in the batch that reads the same tokens: both are scored through the same cached
path and nothing of shape tokens x vocabulary is ever kept. Below the first edited block a row and its twin are one row.
"""

import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from steerdose.engine.cache import RowCache
from steerdose.engine.decoding import Chooser
from steerdose.engine.divergence import KL_ROWS, divergence
from steerdose.engine.probe import READINGS, ForkPlan, read_packed
from steerdose.engine.requests import Request, Trajectory
from steerdose.engine.rows import RowSplit
from steerdose.engine.static import StaticStep
from steerdose.errors import NonFiniteLogitsError, SteerdoseError
from steerdose.model.architecture import layer_types
from steerdose.steering.intervention import Dials, Read

log = logging.getLogger(__name__)

PACKED_TOKENS = 2048  # of suffixes in one forward
STEADY = 4  # tokens for which rows stay the same before a step of theirs is recorded, which runs it twice more


class Batch:
    """Rows that are decoded together: one a request, and one unsteered twin for each that has one.

    `owner` (rows,) is the request that a row belongs to and `twin` (rows,) says which rows are unsteered. `fed` (fed
    rows,) is the request of each row that the model is fed: one for a row and its twin where blocks are shared.
    """

    def __init__(
        self,
        model: Any,
        dials: Dials,
        split: RowSplit,
        n_shared: int,
        batch: list[tuple[Request, Trajectory]],
        chooser: Chooser,
        *,
        graphs: bool = False,
    ) -> None:
        """graphs: steps become static where rows stay the same, and are recorded on a GPU."""
        self.graphs, self.steady = graphs, 0
        self.step: StaticStep | None = None
        self.model, self.dials, self.split, self.n_shared, self.chooser = model, dials, split, n_shared, chooser
        self.requests = [request for request, _ in batch]
        self.trajectories = [trajectory for _, trajectory in batch]
        self.device = model.device
        given = [request.intervention for request in self.requests]
        self.coefficients = {part: dials.coefficients(given, part) for part in ("prompt", "generated")}
        twins = torch.tensor([i for i, request in enumerate(self.requests) if request.has_twin], dtype=torch.long)
        self.owner = torch.cat([torch.arange(len(batch)), twins])
        self.twin = torch.cat([torch.zeros(len(batch), dtype=torch.bool), torch.ones(len(twins), dtype=torch.bool)])
        self.fed = torch.arange(len(batch)) if n_shared else self.owner

    def fed_row(self) -> Tensor:
        """Return the fed row that each row comes from."""
        place = torch.empty(len(self.requests), dtype=torch.long)
        place[self.fed] = torch.arange(len(self.fed))
        return place[self.owner] if self.n_shared else torch.arange(len(self.owner))

    def row_coefficients(self, part: Read) -> Tensor:
        """Return the coefficients of all steerings in all rows, (steerings, rows), at tokens of a part of the text."""
        return torch.where(self.twin, 0.0, self.coefficients[part][:, self.owner])

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
                    self.trajectories[owner].ended, done[owner] = True, True
                    self.trajectories[owner].drop_last()
                else:
                    self.trajectories[owner].token_ids.append(int(token[owner]))
            if done.any():
                self.fork(done, plan)
                self.drop(done)
                if not len(self.owner):
                    return
            if t < window or plan is not None:  # forks at the window read the last token, too
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
        steered = self.coefficients["prompt"]
        self.dials.turn(torch.cat([steered, torch.zeros(len(steered), len(unsteered))], 1))
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
        """Append what is kept of token t to every trajectory and return the chosen token of each request."""
        finite = torch.isfinite(logits.amax(-1)).cpu()
        if not finite.all():
            unsteered = ~(self.row_coefficients("prompt").any(0) | self.row_coefficients("generated").any(0))
            wrong = ~finite & unsteered if (~finite & unsteered).any() else ~finite  # a broken model before a dose
            row = int(wrong.nonzero()[0])
            request = self.requests[int(self.owner[row])]
            dose = f"coefficient {request.intervention.coefficient:g} {request.intervention.label}"
            who = "the unsteered model" if self.twin[row] else dose
            raise (SteerdoseError if unsteered[row] else NonFiniteLogitsError)(
                f"the logits are not finite for prompt '{request.prompt_id}' at token {t} ({who.strip()}): "
                "lower the dose, or set the model's dtype to float32"
            )
        steered = (~self.twin).nonzero().flatten()
        owners = self.owner[steered]
        base = torch.empty(len(self.requests), dtype=torch.long)
        base[owners] = steered  # without a twin the same row: its KL is 0
        base[self.owner[self.twin]] = self.twin.nonzero().flatten()
        token = torch.zeros(len(self.requests), dtype=torch.long)
        token[owners] = self.chooser.choose(taken(logits, steered), owners, t)
        for part in torch.arange(len(steered)).split(KL_ROWS if self.device.type == "cpu" else len(steered)):
            chosen = token[owners[part]].to(self.device)
            found = divergence(taken(logits, steered[part]), taken(logits, base[owners[part]]), chosen)
            for owner, *numbers in zip(owners[part].tolist(), *(each.tolist() for each in found), strict=True):
                self.trajectories[owner].keep(*numbers)
        return token

    def feed(self, token: Tensor) -> Tensor:
        """Give every row its request's token and return the next logits, (rows, vocabulary)."""
        length = self.cache.get_seq_length()
        ids = token[self.fed][:, None].to(self.device)
        positions = (length - self.padding)[:, None].to(self.device)
        self.steady += 1
        if self.graphs and self.step is None and self.steady > STEADY:
            self.step = self.static_step(ids, positions)
        if self.step is not None:
            return self.step(ids, positions)
        self.turn(self.row_coefficients("generated"), self.fed_row())
        return self.model(
            input_ids=ids,
            attention_mask=self.mask[:, : length + 1],
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        ).logits[:, -1]

    def turn(self, coefficients: Tensor, fed_row: Tensor) -> None:
        """Set what hooks read at a token of every row: (steerings, rows), (rows,)."""
        self.dials.turn(coefficients)
        if self.n_shared:
            self.split.set(fed_row, len(self.fed))

    def static_step(self, ids: Tensor, positions: Tensor) -> StaticStep | None:
        """Return the step of these rows from now on; None, and no more tries, for a model that has none."""
        turn = partial(self.turn, self.row_coefficients("generated").to(self.device), self.fed_row().to(self.device))
        try:
            return StaticStep(self.model, self.cache, ids, positions, self.mask, turn)
        except SteerdoseError as error:
            log.warning("cuda_graphs: this model goes without: %s", error)
            self.graphs = False
            self.cache.fix(None)
            return None

    def drop(self, done: Tensor) -> None:
        """Take the rows of finished requests out of the batch."""
        self.steady, self.step = 0, None
        self.cache.fix(None)
        fed, rows = self.cache.keep(*((~done[of]).nonzero().flatten() for of in (self.fed, self.owner)))
        self.owner, self.twin = self.owner[rows], self.twin[rows]
        self.fed, self.padding, self.mask = self.fed[fed], self.padding[fed], self.mask[fed.to(self.device)]

    def fork(self, done: Tensor, plan: ForkPlan | None) -> None:
        """Read the probes on the rows of finished requests, those with equally many forks together."""
        if plan is None:
            return
        groups: dict[int, list[int]] = defaultdict(list)
        for owner in self.owner[~self.twin & done[self.owner]].tolist():
            groups[len(plan.until(len(self.trajectories[owner].token_ids)).times)].append(owner)
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
        texts, prompts = [], []
        for row, owner in zip(fed.tolist(), self.fed[fed].tolist(), strict=True):
            is_twin = not self.n_shared and bool(self.twin[row])
            ids = self.requests[owner].twin_ids if is_twin else self.requests[owner].ids
            texts.append([*ids, *self.trajectories[owner].token_ids])
            prompts.append(self.requests[owner].prompt_id)
        self.dials.turn(self.row_coefficients("prompt")[:, rows])  # what is asked is no text of the model's own
        told = zip(self.owner[rows].tolist(), self.twin[rows].tolist(), strict=True)
        out = [(self.requests[owner].prompt_id, READINGS[int(twin)]) for owner, twin in told]
        prefix, padding = self.cache.prefix(fed, rows), self.padding[fed].to(self.device)
        found = read_packed(self.model, plan, texts, prefix, padding, self.prompt_width, prompts, out)
        for owner, forks in zip(self.owner[rows].tolist(), found, strict=True):
            self.trajectories[owner].forks += forks


def taken(values: Tensor, rows: Tensor) -> Tensor:
    """Return values[rows]; a view where the rows lie one after another, since a copy of logits takes as long as their
    KL."""
    start = int(rows[0])
    if torch.equal(rows, torch.arange(start, start + len(rows))):
        return values[start : start + len(rows)]
    return values[rows]
