"""What hypotheses are built of, read in one pass a prompt: stream, MLP, tokens and the attention that they get.

Prompts are read one at a time, so nothing is padded, and nothing is cut off.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from steerdose.declarations.made import PAIRS
from steerdose.errors import SteerdoseError
from steerdose.files import read_table, replacing
from steerdose.flow.progress import Bar
from steerdose.make.captures import SIDES, persona_prompts
from steerdose.model import chat
from steerdose.model.loading import LoadedModel, load_model
from steerdose.model.residual import ResidualView, residual_view
from steerdose.study.settings import CaptureSites
from steerdose.subspaces.sites import Sites

Ids = Sequence[int]


@dataclass(frozen=True)
class Seen:
    """One prompt's activations. stream: (L + 1, tokens, width), before the first and behind every block.

    up_in, mlp_out: (L, width), up_out: (L, inner), of the last token; empty without an MLP. first: (L, width), what
    attention reads at the first token; attention: (L, tokens), of the last token, heads averaged; both empty without.
    """

    stream: Tensor
    up_in: Tensor
    up_out: Tensor
    mlp_out: Tensor
    first: Tensor
    attention: Tensor


def sites_of(
    loaded: LoadedModel,
    view: ResidualView,
    clean: Sequence[Ids],
    positive: Sequence[Ids],
    negative: Sequence[Ids],
    *,
    common_suffix: bool,
) -> Sites:
    """Return what all three sides' prompts do to the model; the i-th of each have one user's text.

    Raises SteerdoseError where prompts in one rendering end in other tokens: their last ones could not be compared.
    """
    if common_suffix and len({tuple(ids[-1:]) for ids in (*clean, *positive, *negative)}) != 1:
        raise SteerdoseError("the prompts end in different tokens; render all of them alike")
    sides = []
    with Bar(len(clean) * 3, "sites") as progress, _eager(loaded.model):
        for prompts in (clean, positive, negative):
            seen = []
            for ids in prompts:
                seen.append(_seen(loaded, view, ids))
                progress.update()
            sides.append(seen)
    pairs = list(zip(*sides[1:], compared(positive, negative, common_suffix=common_suffix), strict=True))
    last = [torch.stack([each.stream[:, -1] for each in side], 1) for side in sides]
    return Sites(
        clean=last[0],
        positive=last[1],
        negative=last[2],
        differences=torch.cat([_at(a.stream[1:], at[0]) - _at(b.stream[1:], at[1]) for a, b, at in pairs], 1),
        attention=torch.stack(
            [torch.cat([_at(pair[side].attention, pair[2][side]) for pair in pairs], -1) for side in (0, 1)]
        ),
        first=torch.stack([each.first for each in sides[0]]).mean(0),
        up_in=torch.stack([torch.stack([each.up_in for each in side], 1) for side in sides]),
        up_out=torch.stack([torch.stack([each.up_out for each in side], 1) for side in sides[1:]]),
        mlp_out=torch.stack([each.mlp_out for each in sides[0]], 1),
    )


def compared(
    positive: Sequence[Ids], negative: Sequence[Ids], *, common_suffix: bool
) -> list[tuple[Sequence[int | None], Sequence[int | None]]]:
    """Return of every pair of prompts which positions are compared; None: nothing, as zeros.

    With `common_suffix` those of the user's text: what both end in, less what every text of the pairs begins or ends in
    there, which is the template's. Else all, aligned at the right, up to the longest of either side.
    """
    if not common_suffix:
        most = max(len(ids) for ids in (*positive, *negative))
        aligned = [[[*[None] * (most - len(ids)), *range(len(ids))] for ids in side] for side in (positive, negative)]
        return list(zip(*aligned, strict=True))
    shared = [_common(a[::-1], b[::-1]) for a, b in zip(positive, negative, strict=True)]
    ends = [list(ids[len(ids) - n :]) for ids, n in zip(positive, shared, strict=True)]
    tail = min(_common(ends[0][::-1], each[::-1]) for each in ends[1:]) if len(ends) > 1 else 0
    head = min(_common(ends[0], each) for each in ends[1:]) if len(ends) > 1 else 0
    return [
        (range(len(a) - n + head, len(a) - tail), range(len(b) - n + head, len(b) - tail))
        for a, b, n in zip(positive, negative, shared, strict=True)
    ]


def _common(one: Ids, other: Ids) -> int:
    """Return how many tokens two texts begin with in common; never the whole of one, so that its first one is left."""
    found = 0
    while found < min(len(one), len(other)) - 1 and one[found] == other[found]:
        found += 1
    return found


def _at(values: Tensor, positions: Sequence[int | None]) -> Tensor:
    """Return values (L, tokens, ...) at some tokens; zeros where there is none."""
    if not values.numel():
        return values
    return torch.stack([torch.zeros_like(values[:, 0]) if i is None else values[:, i] for i in positions], 1)


def _seen(loaded: LoadedModel, view: ResidualView, ids: Ids) -> Seen:
    modules = dict(loaded.model.named_modules())
    found: dict[tuple[str, str], Tensor] = {}
    handles = []

    def keep(path: str) -> Callable[..., None]:
        def hook(_module: Any, args: Any, kwargs: Any, output: Any) -> None:
            given = args[0] if args else kwargs["hidden_states"]
            out = output[0] if isinstance(output, tuple) else output
            found[path, "in"], found[path, "out"] = (x.reshape(len(ids), -1).float().cpu() for x in (given, out))

        return hook

    ups = [block.sources.get("up") for block in view.blocks]
    paths = [*view.paths, *(up[0] for up in ups if up), *(b.mlp for b in view.blocks if b.mlp)]
    queries = [block.sources["q"][0] for block in view.blocks if block.heads]
    for path in dict.fromkeys([*paths, *queries]):
        handles.append(modules[path].register_forward_hook(keep(path), with_kwargs=True))
    try:
        with torch.inference_mode():
            given = torch.tensor([ids], device=loaded.device)
            out = loaded.model(given, logits_to_keep=1, use_cache=False, output_attentions=bool(queries))
    finally:
        for handle in handles:
            handle.remove()
    none = torch.zeros(0)
    all_up = [up for up in ups if up]
    return Seen(
        stream=torch.stack([found[view.paths[0], "in"], *(found[path, "out"] for path in view.paths)]),
        up_in=torch.stack([found[path, "in"][-1] for path, _ in all_up]) if all_up else none,
        up_out=torch.stack([_rows(found[path, "out"][-1], rows) for path, rows in all_up]) if all_up else none,
        mlp_out=torch.stack([found[b.mlp, "out"][-1] for b in view.blocks if b.mlp]) if view.blocks[0].mlp else none,
        first=torch.stack([found[path, "in"][0] for path in queries]) if queries else none,
        attention=torch.stack([a[0, :, -1].mean(0).float().cpu() for a in out.attentions]) if queries else none,
    )


def _rows(values: Tensor, rows: Tensor | None) -> Tensor:
    return values if rows is None else values[rows]


@contextmanager
def _eager(model: Any) -> Iterator[None]:
    """Have the model put out its attention for a while, which only its plain implementation does."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def capture_sites(*, model: str, pairs: str, settings: CaptureSites, sites: str) -> None:
    """Write subspaces/sites.safetensors: what hypotheses are built of, under clean prompts and both personas."""
    loaded = load_model(model, settings.run)
    prompted = persona_prompts(read_table(pairs, PAIRS, ("prompt", *SIDES)))[: settings.n_prompts]
    texts, switches = prompted["prompt"].to_list(), settings.switches
    clean = [clean_ids(loaded.tokenizer, text, rendered=switches.one_rendering) for text in texts]
    personas = [
        [
            chat.prompt_ids(loaded.tokenizer, chat.conversation(*both))
            for both in zip(texts, prompted[side], strict=True)
        ]
        for side in SIDES
    ]
    view = residual_view(loaded.model, loaded.tokenizer)
    found = sites_of(loaded, view, clean, *personas, common_suffix=switches.common_suffix)
    with replacing(sites) as temporary:
        save_file({name: value.contiguous() for name, value in vars(found).items()}, temporary)


def clean_ids(tokenizer: Any, text: str, *, rendered: bool) -> list[int]:
    """Return the ids of a user's text without a persona: in the chat template, or as raw text as published."""
    if rendered:
        return chat.prompt_ids(tokenizer, chat.conversation(text))
    return list(tokenizer(text).input_ids)
