"""The verb score: given texts are read under interventions, for the log-probabilities of their tokens and what follows.

Rows of many texts, doses and steerings share one batch. Below the first block that any steering edits a text is read
once for all of them, and of what is left alone, such as the unsteered twin of every method, one row is read. What texts
begin with is read once for all of them too (see `prefixes`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from steerdose.engine.cache import RowCache
from steerdose.engine.memory import Fitting
from steerdose.engine.prefixes import Level, Row, levels
from steerdose.engine.rows import RowSplit, count_shared, split_rows
from steerdose.errors import SteerdoseError
from steerdose.flow.progress import Bar
from steerdose.model import chat
from steerdose.model.architecture import is_cacheable, layer_types, text_config
from steerdose.model.loading import LoadedModel
from steerdose.model.sizes import sizes_of
from steerdose.steering.intervention import UNSTEERED, Dials, Intervention, activate, steerings_of
from steerdose.study.blocks import blocks
from steerdose.study.memory import FLOAT, LOGIT_BYTES, row_bytes


@dataclass(frozen=True)
class Item:
    """A text to read, and what is asked of it.

    ids: its token ids, a rendered prompt and whatever stands behind it, by the system text in front (see `render`).
    answers: sets of tokens; of each the log-probability is asked that one of them comes next. n_scored: of so many of
    the last tokens the own log-probability is asked; they count as generated, all before them as prompt. Raises
    ValueError where these are not all of the tokens but one.
    """

    id: str
    ids: Mapping[str | None, tuple[int, ...]]
    answers: tuple[tuple[int, ...], ...] = ()
    n_scored: int = 0

    def __post_init__(self) -> None:
        shortest = min(map(len, self.ids.values()))
        if not 0 <= self.n_scored < shortest:
            raise ValueError(
                f"item '{self.id}': {self.n_scored} of {shortest} tokens cannot be scored; the first never"
            )


@dataclass(frozen=True)
class Score:
    """What was asked of an item, log-probabilities in nats: one a set of answers, and one a scored token.

    answered: whether the likeliest next token is an answer. likeliest: whether each scored token is the likeliest one.
    """

    answers: tuple[float, ...]
    tokens: tuple[float, ...]
    answered: bool = False
    likeliest: tuple[bool, ...] = ()


def render(
    tokenizer: Any, user: str, interventions: Sequence[Intervention], behind: Sequence[int] = ()
) -> dict[str | None, tuple[int, ...]]:
    """Return the `ids` of an item: a user message behind each of the system texts, and `behind` it all."""
    texts = dict.fromkeys(each.system for each in interventions)
    return {text: (*chat.prompt_ids(tokenizer, chat.conversation(user, text)), *behind) for text in texts}


def score(
    loaded: LoadedModel, interventions: Sequence[Intervention], items: Sequence[Item], *, batch_rows: int
) -> list[list[Score | None]]:
    """Read every item under every intervention; return a list an intervention of a score an item.

    A score is None where the steered logits that it needs are not finite: the dose is far too strong. batch_rows: rows
    above the first edited block at a time. Items are cut by `blocks` with one row an intervention; what is not done
    together in a block is done apart. Models whose rows cannot share a cache read one text at a time, without padding.
    Raises SteerdoseError for unsteered logits that are not finite.
    """
    model, steerings = loaded.model, steerings_of(interventions)
    together = is_cacheable(model)
    n_shared = count_shared(model, steerings) if together else 0
    table: list[list[Score | None]] = [[None] * len(items) for _ in interventions]
    fitting = Fitting(loaded.devices, _row_bytes(model, items))
    parts = blocks(len(items), max(1, len(interventions)), batch_rows)
    with (
        torch.inference_mode(),
        activate(model, steerings) as dials,
        split_rows(model, n_shared) as split,
        Bar(len(parts), "scores") as progress,
    ):

        def read(wanted: Mapping[Row, Sequence[tuple[int, int]]], kept: Mapping[Row, int], rows: Sequence[Row]) -> None:
            forward = _Forward(model, dials, split, n_shared, rows, [kept[row] for row in rows])
            forward.run(padded=together)
            for place, row in enumerate(rows):
                for i, j in wanted[row]:
                    table[i][j] = forward.score(place, items[j])

        for part in parts:
            wanted: dict[Row, list[tuple[int, int]]] = {}
            for j in part:
                for i, each in enumerate(interventions):
                    wanted.setdefault(_row(items[j], each), []).append((i, j))
            kept = {row: 1 + max(items[j].n_scored for _, j in askers) for row, askers in wanted.items()}
            for rows in _batches(model, kept, batch_rows, together):
                fitting.run(rows, partial(read, wanted, kept))
            progress.update()
    return table


def _row_bytes(model: Any, items: Sequence[Item]) -> float:
    sizes, width = sizes_of(model), max((len(ids) for item in items for ids in item.ids.values()), default=0)
    return row_bytes(width, sizes.cache, sizes.vocabulary, model.dtype.itemsize)


def _row(item: Item, given: Intervention) -> Row:
    """Return what is read of an item under an intervention; rows that are the same are read once."""
    ids = item.ids[given.system]
    if not given.coefficient:
        return ids, UNSTEERED, 0
    kind = Intervention(given.steering, given.coefficient, positions=given.positions)
    return ids, kind, 0 if given.positions == "all" else item.n_scored


def _batches(model: Any, kept: Mapping[Row, int], batch_rows: int, together: bool) -> Iterator[list[Row]]:
    """Yield rows that are read at once, sorted by length; without `together` of one text. kept: positions of each."""
    rows = sorted(kept, key=lambda row: len(row[0]))  # stable: rows of one text stay neighbours
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(None if together else row[0], []).append(row)
    for group in groups.values():
        most = batch_rows if together else min(batch_rows, _fitting(model, max(kept[row] for row in group)))
        yield from (group[start : start + most] for start in range(0, len(group), most))


def _fitting(model: Any, count: int) -> int:
    """Return how many times `count` rows of logits fit into `LOGIT_BYTES`, at least 1."""
    return max(1, LOGIT_BYTES // (FLOAT * count * text_config(model).vocab_size))


class _Forward:
    """Rows that are read together. Afterwards, of the last `n_kept` positions:

    last: (rows, vocabulary), the logits behind the text. total: (rows, n_kept), logsumexp of the logits. own: (rows,
    n_kept - 1), the logit of the token that does follow. best: (rows, n_kept), the likeliest token; hit: (rows,
    n_kept - 1), whether it does follow.
    """

    def __init__(
        self, model: Any, dials: Dials, split: RowSplit, n_shared: int, rows: Sequence[Row], n_kept: Sequence[int]
    ) -> None:
        self.model, self.dials, self.split, self.n_shared = model, dials, split, n_shared
        self.device = model.device
        self.rows, self.n_kept = rows, max(n_kept)
        self.unasked = [len(ids) - n for (ids, _, _), n in zip(rows, n_kept, strict=True)]

    def run(self, padded: bool) -> None:
        """padded: whether a cache may hold texts of several lengths, and so what they begin with is read once."""
        kinds = layer_types(self.model)
        shareable = padded and set(kinds) == {"full_attention"}  # a window would count the padding between levels
        *prefixes, rest = levels(self.rows, self.unasked if shareable else [0] * len(self.rows), not self.n_shared)
        pieces = self._pieces(rest.width) if padded else [(0, rest.width)]
        cache = RowCache(len(kinds), 0, self.n_shared) if prefixes or len(pieces) > 1 else None
        mask = torch.ones(1, 0, dtype=torch.bool)
        for level in prefixes:
            cache, mask = self._enter(level, cache, mask)
            self._read(level, (0, level.width), 1, cache, mask if padded else None)
        cache, mask = self._enter(rest, cache, mask)
        following = torch.tensor([[*[0] * rest.width, *ids, 0][-rest.width :] for ids, _, _ in self.rows])
        total, own, best = [], [], []
        for start, stop in pieces:
            count = stop - max(start, rest.width - self.n_kept)
            logits = self._read(rest, (start, stop), count, cache, mask if padded else None)
            total.append(logits.logsumexp(-1).cpu())
            best.append(logits.argmax(-1).cpu())
            own.append(logits.gather(-1, following[:, stop - count : stop, None].to(self.device))[..., 0].cpu())
            self.last = logits[:, -1].cpu()
        self.total, self.own, self.best = torch.cat(total, 1), torch.cat(own, 1)[:, :-1], torch.cat(best, 1)
        self.hit = self.best[:, :-1] == following[:, rest.width - self.n_kept : -1]

    def _enter(self, level: Level, cache: RowCache | None, mask: Tensor) -> tuple[RowCache | None, Tensor]:
        """Return the cache with the rows of a level and room for its tokens, and the mask with these."""
        mask = torch.cat([mask[level.parents_below], level.is_token], 1)
        self.split.set(level.below, len(level.tokens))
        return cache and cache.expanded(level.parents_below, level.parents, mask.shape[1]), mask

    def _read(
        self, level: Level, piece: tuple[int, int], count: int, cache: RowCache | None, mask: Tensor | None
    ) -> Tensor:
        """Read a piece of a level; return (rows, count, vocabulary), its last logits. mask: None without padding."""
        start, stop = piece
        coefficients = self._coefficients(level)
        self.dials.turn(coefficients if coefficients.ndim == 2 else coefficients[..., start:stop])
        placing = {}
        if mask is not None:
            behind = slice(mask.shape[1] - level.width + start, mask.shape[1] - level.width + stop)
            positions = (mask.cumsum(-1) - 1).clamp_min(0)
            placing = {"attention_mask": mask[:, : behind.stop], "position_ids": positions[:, behind]}
            placing = {name: value.to(self.device) for name, value in placing.items()}
        return self.model(
            input_ids=level.ids[:, start:stop].to(self.device),
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=count,
            **placing,
        ).logits.float()

    def _coefficients(self, level: Level) -> Tensor:
        """Return the coefficients of all steerings, (steerings, rows), or (.., tokens) where they differ in a row."""
        given = [what for _, what, _ in level.rows]
        prompt, generated = self.dials.coefficients(given, "prompt"), self.dials.coefficients(given, "generated")
        n_generated = torch.tensor([n for _, _, n in level.rows])
        if torch.equal(prompt, generated) or not n_generated.any():
            return prompt
        behind = torch.arange(level.width) >= level.width - n_generated[:, None]
        return torch.where(behind, generated[..., None], prompt[..., None])

    def _pieces(self, width: int) -> list[tuple[int, int]]:
        """Return from where to where the last level is read at a time, so that the logits of a piece fit."""
        most = _fitting(self.model, len(self.rows))
        ends = [*range(width - self.n_kept + most, width, most), width]
        return list(zip([0, *ends], ends, strict=False))

    def score(self, place: int, item: Item) -> Score | None:
        """Return what an item asks of a row, None where its steered logits are not finite."""
        total = self.total[place, self.n_kept - 1 - item.n_scored :]
        if not torch.isfinite(total).all():
            if self.rows[place][1].is_plain:
                raise SteerdoseError(
                    f"the logits of the unsteered model are not finite for item '{item.id}': "
                    "set the model's dtype to float32"
                )
            return None
        answers = [self.last[place, list(tokens)].logsumexp(0) - total[-1] for tokens in item.answers]
        own = self.own[place, self.n_kept - 1 - item.n_scored :] - total[:-1]
        answered = any(int(self.best[place, -1]) in tokens for tokens in item.answers)
        hit = self.hit[place, self.n_kept - 1 - item.n_scored :]
        return Score(tuple(float(value) for value in answers), tuple(own.tolist()), answered, tuple(hit.tolist()))
