"""Hypotheses of base weights alone: what the model can write, what it reads, what it writes and does not read."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from steerdose.model.residual import READERS, BlockView, Heads, ResidualView
from steerdose.study.subspaces import Switches
from steerdose.subspaces.linear import Basis, beside, gram_beside, of_gram, orthonormal, union
from steerdose.subspaces.registry import MODEL, NotApplicableError, hypothesis

BROAD = 64  # directions of a basis that is forbidden


@dataclass
class Weights:
    """A model's view, and Gram matrices that several hypotheses share, each made once."""

    view: ResidualView
    switches: Switches

    def __post_init__(self) -> None:
        self._made: dict[tuple[str, int], Tensor] = {}

    @property
    def checked(self) -> bool:
        return self.switches.checked_rank

    def block(self, i: int) -> BlockView:
        return self.view.blocks[i]

    def writer(self, i: int, role: str) -> Tensor:
        """Return a writer's weight (width, in)."""
        return self._role(self.block(i).writers, role)

    def reader(self, i: int, role: str) -> Tensor:
        """Return a reader's weight (out, width) in residual coordinates."""
        self._role(self.block(i).readers, role)
        return self.block(i).reader(role, folded=self.switches.fold_norm_gain)

    def _role(self, there: Mapping[str, Tensor], role: str) -> Tensor:
        if role not in there:
            raise NotApplicableError(f"the model has no {role} of its own")
        return there[role]

    def written(self, i: int) -> Tensor:
        """Return the Gram matrix of all that a block writes."""
        return self._once(
            "written", i, lambda: side_by_side(self.block(i).writers.values(), balanced=self.switches.balanced)
        )

    def read(self, i: int, roles: Sequence[str] = READERS) -> Tensor:
        """Return the Gram matrix of what some of a block's readers read; of those that it has."""
        names = [role for role in roles if role in self.block(i).readers]
        if not names:
            raise NotApplicableError(f"the model has none of {', '.join(roles)}")
        return self._once(
            f"read {names}", i, lambda: side_by_side((self.reader(i, role).T for role in names), balanced=False)
        )

    def _once(self, name: str, i: int, make: Callable[[], Tensor]) -> Tensor:
        if (name, i) not in self._made:
            self._made[name, i] = make()
        return self._made[name, i]

    @cached_property
    def head(self) -> Tensor:
        """The Gram matrix of the unembedding, in double precision: its small end counts too."""
        U = self.view.head(folded=self.switches.fold_norm_gain)
        return sum((part.T.double() @ part.double() for part in U.split(8192)), torch.zeros(1))

    @cached_property
    def head_read(self) -> Tensor:
        """What the unembedding reads most, (width, BROAD)."""
        return of_gram(self.head, BROAD).Q

    @cached_property
    def everything_read(self) -> Tensor:
        """The Gram matrix of all that is read anywhere."""
        grams = [self.read(i).double() for i in range(len(self.view.blocks))]
        return self._heard([*grams, self.head])

    def _heard(self, grams: Iterable[Tensor]) -> Tensor:
        parts = [gram / gram.trace() if self.switches.balanced else gram for gram in grams]
        return sum(parts[1:], parts[0])

    @cached_property
    def broad_read(self) -> Tensor:
        """What is read most anywhere, (width, BROAD)."""
        return of_gram(self.everything_read, BROAD).Q

    @cached_property
    def everything_written(self) -> Tensor:
        """The Gram matrix of all that is written anywhere."""
        return sum((self.written(i) for i in range(1, len(self.view.blocks))), self.written(0))

    def read_after(self, i: int) -> Tensor:
        """Return what is read most behind a block, (width, BROAD); with `same_block` by its own MLP too."""
        grams = [self.read(j).double() for j in range(i + 1, len(self.view.blocks))]
        if self.switches.same_block and not self.block(i).parallel:
            grams.append(self.read(i, ("gate", "up")).double())
        return of_gram(self._heard([self.head, *grams]), BROAD).Q

    def values(self, i: int) -> Tensor:
        """Return values (query heads x head width, width), repeated as query heads use them."""
        return self._repeated(i, self.reader(i, "v"))

    def keys(self, i: int) -> Tensor:
        """Return keys, as `values`."""
        return self._repeated(i, self.reader(i, "k"))

    def heads(self, i: int) -> Heads:
        """Return the heads of a block's attention."""
        heads = self.block(i).heads
        if heads is None:
            raise NotApplicableError("the block has no attention heads")
        return heads

    def _repeated(self, i: int, weight: Tensor) -> Tensor:
        heads = self.heads(i)
        if self.switches.whole_heads:
            return heads.repeated(weight)
        return weight.repeat_interleave(heads.n // heads.n_kv, 0)


def side_by_side(weights: Iterable[Tensor], *, balanced: bool) -> Tensor:
    """Return the Gram matrix sum W W^T of weights (width, in), each of norm 1 first where they are balanced."""
    grams = []
    for W in weights:
        gram = W @ W.T
        grams.append(gram / gram.trace() if balanced else gram)
    return sum(grams[1:], grams[0])


def of_product(W: Tensor, k: int, *, checked: bool) -> Basis:
    """Return the first left singular directions of a matrix, through its Gram matrix."""
    return of_gram(W.double() @ W.double().T, k, checked=checked)


def of_what_is_left(gram: Tensor, forbidden: Tensor, k: int, *, checked: bool) -> Basis:
    """Return the first directions of a Gram matrix beside forbidden ones."""
    if len(forbidden) - forbidden.shape[1] < k:
        raise NotApplicableError(f"{forbidden.shape[1]} forbidden directions leave too few of {len(forbidden)}")
    return of_gram(gram_beside(gram, forbidden), k, checked=checked)


@hypothesis("W:unembed", "read", "weights", scope=MODEL)
def lm_head_read(given: Weights, _: int, k: int) -> Basis:
    """What the unembedding reads most: its leading right singular directions."""
    return of_gram(given.head, k, checked=given.checked)


@hypothesis("W:unembed", "read", "weights", scope=MODEL)
def logits_null(given: Weights, _: int, k: int) -> Basis:
    """What the unembedding reads least: its last right singular directions (a control)."""
    return of_gram(given.head, k, last=True)


@hypothesis("W:read", "read", "weights", scope=MODEL)
def global_read(given: Weights, _: int, k: int) -> Basis:
    """What all readers of all blocks and the unembedding read most."""
    return of_gram(given.everything_read, k, checked=given.checked)


@hypothesis("W:write", "write", "weights", scope=MODEL)
def global_write(given: Weights, _: int, k: int) -> Basis:
    """What all writers of all blocks write most."""
    return of_gram(given.everything_written, k, checked=given.checked)


@hypothesis("W:write-not-read", "write", "weights", scope=MODEL)
def global_write_not_global_read(given: Weights, _: int, k: int) -> Basis:
    """What all writers write most beside the 64 directions that are read most anywhere."""
    return of_what_is_left(given.everything_written, given.broad_read, k, checked=given.checked)


@hypothesis("W:write", "write", "weights")
def write(given: Weights, i: int, k: int) -> Basis:
    """What the block's attention and MLP write most."""
    return of_gram(given.written(i), k, checked=given.checked)


@hypothesis("W:write", "write", "weights")
def attn_write(given: Weights, i: int, k: int) -> Basis:
    """What the block's attention writes most."""
    given.heads(i)
    return of_product(given.writer(i, "o"), k, checked=given.checked)


@hypothesis("W:write", "write", "weights")
def mlp_write(given: Weights, i: int, k: int) -> Basis:
    """What the block's MLP writes most."""
    return of_product(given.writer(i, "down"), k, checked=given.checked)


def _written_beside(given: Weights, i: int, k: int, forbidden: Tensor) -> Basis:
    return of_what_is_left(given.written(i), forbidden, k, checked=given.checked)


@hypothesis("W:write-not-read", "write", "weights")
def write_not_lm_head_read(given: Weights, i: int, k: int) -> Basis:
    """What the block writes most beside the 64 directions that the unembedding reads most."""
    return _written_beside(given, i, k, given.head_read)


@hypothesis("W:write-not-read", "write", "weights")
def write_not_global_read(given: Weights, i: int, k: int) -> Basis:
    """What the block writes most beside the 64 directions that are read most anywhere."""
    return _written_beside(given, i, k, given.broad_read)


@hypothesis("W:write-not-read", "write", "weights")
def write_not_downstream_read(given: Weights, i: int, k: int) -> Basis:
    """What the block writes most beside the 64 directions that are read most behind it."""
    return _written_beside(given, i, k, given.read_after(i))


@hypothesis("W:read", "read", "weights")
def mlp_up_read(given: Weights, i: int, k: int) -> Basis:
    """What the MLP's up layer reads most."""
    return of_product(given.reader(i, "up").T, k, checked=given.checked)


@hypothesis("W:read", "read", "weights")
def mlp_gate_read(given: Weights, i: int, k: int) -> Basis:
    """What the MLP's gate reads most."""
    return of_product(given.reader(i, "gate").T, k, checked=given.checked)


@hypothesis("W:read", "read", "weights")
def attn_qkv_read(given: Weights, i: int, k: int) -> Basis:
    """What queries, keys and values read most."""
    return of_gram(given.read(i, ("q", "k", "v")), k, checked=given.checked)


@hypothesis("W:OV", "write", "weights")
def attn_ov_write(given: Weights, i: int, k: int) -> Basis:
    """What attention writes most of what it reads: W_o W_v, heads summed."""
    return of_product(given.writer(i, "o") @ given.values(i), k, checked=given.checked)


@hypothesis("W:MLP", "write", "weights")
def mlp_roundtrip_write(given: Weights, i: int, k: int) -> Basis:
    """What the MLP writes most of what it reads, as if it had no gate: W_down W_up."""
    return of_product(given.writer(i, "down") @ given.reader(i, "up"), k, checked=given.checked)


@hypothesis("W:QK", "read", "weights")
def qk_circuit(given: Weights, i: int, k: int) -> Basis:
    """What queries look for most of what keys offer: W_q^T W_k, heads summed, without rotary positions."""
    return of_product(given.reader(i, "q").T @ given.keys(i), k, checked=given.checked)


@hypothesis("W:read", "read", "weights")
def input_super(given: Weights, i: int, k: int) -> Basis:
    """What all readers of the block read most."""
    return of_gram(given.read(i), k, checked=given.checked)


@hypothesis("W:read", "read", "weights")
def kv_super(given: Weights, i: int, k: int) -> Basis:
    """What keys and values read most."""
    return of_gram(given.read(i, ("k", "v")), k, checked=given.checked)


@hypothesis("W:write-not-read", "write", "weights")
def causally_isolated(given: Weights, i: int, k: int) -> Basis:
    """What the block writes most beside what its readers, its keys and values and the unembedding read most."""
    read = union(input_super(given, i, k).Q, kv_super(given, i, k).Q)
    return _written_beside(given, i, k, orthonormal(torch.cat([given.head_read, read], 1)))


@hypothesis("W:read", "read", "weights")
def input_super_not_lm_read(given: Weights, i: int, k: int) -> Basis:
    """What all readers of the block read most beside the 64 directions that the unembedding reads most."""
    if given.switches.refilled:
        return of_what_is_left(given.read(i), given.head_read, k, checked=given.checked)
    found = input_super(given, i, k)
    return Basis(orthonormal(beside(found.Q, given.head_read), checked=given.checked)[:, :k], found.values)
