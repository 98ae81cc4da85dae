"""A model as the residual stream sees it: what reads from it, what writes to it, whatever the architecture.

Weights are (out, in) in fp32 on the CPU, readers' inputs and writers' outputs in residual coordinates. Fused layers are
cut into their roles, transposed ones turned. What a norm does to its input along each coordinate is kept beside the
readers, since W reads gain * h / rms(h); a LayerNorm takes the mean away first.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from steerdose.errors import SteerdoseError
from steerdose.model.architecture import find_blocks, text_config
from steerdose.model.linear import PAIR, QKV, ROLES, WRITERS

READERS = (*QKV, *PAIR)
ATTENTION_NORMS = ("input_layernorm", "ln_1", "self_attn_layer_norm")
MLP_NORMS = ("pre_feedforward_layernorm", "ln_2", "post_attention_layernorm", "final_layer_norm")
POST_NORMS = {"o": "post_attention_layernorm", "down": "post_feedforward_layernorm"}  # Gemma 2 and 3
FINAL_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm")
MOE = ("experts", "router")


@dataclass(frozen=True)
class Norm:
    """What a norm multiplies each coordinate with, and whether it takes the mean away. gain: (width,)."""

    gain: Tensor
    centred: bool

    def into(self, weight: Tensor) -> Tensor:
        """Return a reader's weight (out, width) in residual coordinates, the norm's scale left out."""
        folded = weight * self.gain
        return folded - folded.mean(1, keepdim=True) if self.centred else folded


@dataclass(frozen=True)
class Heads:
    """n query heads of `width` coordinates share n_kv key-value heads."""

    n: int
    n_kv: int
    width: int

    def repeated(self, weight: Tensor) -> Tensor:
        """Return key or value weights (n_kv width, in) with every head as often as query heads use it."""
        heads = weight.reshape(self.n_kv, self.width, -1)
        return heads.repeat_interleave(self.n // self.n_kv, 0).reshape(self.n * self.width, -1)


@dataclass(frozen=True)
class BlockView:
    """One block. readers: (out, width) by role q, k, v, gate, up; writers: (width, in) by role o, down.

    norms: by reader. sources: of every role the module's path and which of its rows; None: all of them. act: the MLP's
    activation; mlp: its path. parallel: whether attention and MLP read the same input.
    """

    readers: Mapping[str, Tensor]
    writers: Mapping[str, Tensor]
    norms: Mapping[str, Norm]
    sources: Mapping[str, tuple[str, Tensor | None]]
    heads: Heads | None
    act: Callable[[Tensor], Tensor] | None
    mlp: str | None
    parallel: bool

    def reader(self, role: str, *, folded: bool) -> Tensor:
        """Return a reader's weight, with the norm before it folded in or as it is stored."""
        return self.norms[role].into(self.readers[role]) if folded else self.readers[role]


@dataclass(frozen=True)
class ResidualView:
    """A whole model. unembedding: (vocabulary, width); embedding: the same, as it enters the first block."""

    width: int
    paths: tuple[str, ...]
    blocks: tuple[BlockView, ...]
    unembedding: Tensor
    final_norm: Norm
    embedding: Tensor
    first_token: int | None

    def head(self, *, folded: bool) -> Tensor:
        """Return the unembedding, with the final norm folded in or as it is stored."""
        return self.final_norm.into(self.unembedding) if folded else self.unembedding


def residual_view(model: Any, tokenizer: Any = None) -> ResidualView:
    """Return a model's view. Raises SteerdoseError for a mixture of experts, whose weights are no matrices."""
    config, paths = text_config(model), find_blocks(model)
    modules = dict(model.named_modules())
    base = paths[0].rsplit(".", 2)[0]
    embedding = model.get_input_embeddings().weight.detach().float().cpu()
    scale = config.hidden_size**0.5 if config.model_type.startswith("gemma") else 1.0
    gemma = config.model_type.startswith("gemma")
    final = _first(modules, base, FINAL_NORMS)
    first = getattr(tokenizer, "bos_token_id", None)
    return ResidualView(
        width=config.hidden_size,
        paths=tuple(paths),
        blocks=tuple(_block(modules, path, config) for path in paths),
        unembedding=model.get_output_embeddings().weight.detach().float().cpu(),
        final_norm=_norm(final, config.hidden_size, gemma),
        embedding=embedding * scale,
        first_token=getattr(tokenizer, "eos_token_id", None) if first is None else first,
    )


def _block(modules: Mapping[str, nn.Module], path: str, config: Any) -> BlockView:
    inside = {name.removeprefix(f"{path}."): each for name, each in modules.items() if name.startswith(f"{path}.")}
    if any(name.split(".")[-1] in MOE for name in inside):
        raise SteerdoseError(f"{path} is a mixture of experts: its readers and writers change from token to token")
    gemma = config.model_type.startswith("gemma")
    post = "post_feedforward_layernorm" in inside
    heads = _heads(config)
    readers, writers, sources = {}, {}, {}
    for name, module in inside.items():
        roles = ROLES.get(name.rsplit(".", 1)[-1], ())
        if not roles or not isinstance(module, nn.Linear | Conv1D):
            continue
        weight = module.weight.detach().float().cpu()
        weight = weight.T if isinstance(module, Conv1D) else weight
        if roles == WRITERS:  # GPT-2 calls both the same
            roles = ("down",) if "mlp" in name else ("o",)
        rows = _rows(name, roles, heads, len(weight))
        for role, own in zip(roles, rows, strict=True):
            part = weight if own is None else weight[own]
            sources[role] = (f"{path}.{name}", own)
            if role in READERS:
                readers[role] = part.contiguous()
            else:
                gain = _norm(inside[POST_NORMS[role]], len(part), gemma).gain if post else None
                writers[role] = part if gain is None else part * gain[:, None]
    before = {role: ATTENTION_NORMS if role in QKV else MLP_NORMS for role in readers}
    act = next((each for name, each in inside.items() if name.rsplit(".", 1)[-1] in ("act_fn", "act")), None)
    return BlockView(
        readers=readers,
        writers=writers,
        norms={role: _norm(_first(inside, "", names), config.hidden_size, gemma) for role, names in before.items()},
        sources=sources,
        heads=heads if {"q", "k", "v"} <= readers.keys() else None,
        act=act,
        mlp=next((f"{path}.{name}" for name in inside if name in ("mlp", "feed_forward")), None),
        parallel=bool(getattr(config, "use_parallel_residual", False)),
    )


def _heads(config: Any) -> Heads | None:
    n = getattr(config, "num_attention_heads", None)
    if n is None:
        return None
    return Heads(n, getattr(config, "num_key_value_heads", None) or n, getattr(config, "head_dim", None) or
                 config.hidden_size // n)  # fmt: skip


def _rows(name: str, roles: tuple[str, ...], heads: Heads | None, out: int) -> list[Tensor | None]:
    """Return which rows of a fused layer belong to each of its roles."""
    if len(roles) == 1:
        return [None]
    every = torch.arange(out)
    if roles == PAIR:
        return list(every.chunk(2))
    assert heads is not None
    if name.endswith("query_key_value"):  # NeoX: q, k and v of one head stand together
        return [each.reshape(-1) for each in every.reshape(heads.n, 3, heads.width).unbind(1)]
    sizes = [heads.n * heads.width, heads.n_kv * heads.width, heads.n_kv * heads.width]
    return list(every.split(sizes))


def _first(modules: Mapping[str, nn.Module], base: str, names: tuple[str, ...]) -> nn.Module | None:
    return next((modules[path] for path in (f"{base}.{n}".lstrip(".") for n in names) if path in modules), None)


def _norm(module: Any, width: int, gemma: bool) -> Norm:
    """Return a norm's gain: ones without one, 1 + its weight in Gemma."""
    weight = getattr(module, "weight", None)
    gain = torch.ones(width) if weight is None else weight.detach().float().cpu()
    return Norm(gain + 1 if gemma and weight is not None else gain, isinstance(module, nn.LayerNorm))
