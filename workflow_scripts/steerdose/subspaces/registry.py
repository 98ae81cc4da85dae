"""The hypotheses by name: what each says, which kind of directions it has, and what it needs.

A new one is one function in one file beside this one, with `@hypothesis`. It is given what it needs, a block's number
and how many directions are wanted, and returns a basis.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from steerdose.errors import SteerdoseError
from steerdose.subspaces.linear import Basis

Axis = Literal["write", "read", "mixed"]
Given = Literal["weights", "activations", "both"]
MODEL, BLOCK = "model", "block"


class NotApplicableError(SteerdoseError):
    """A model lacks what a hypothesis is about; the message says what."""


@dataclass(frozen=True)
class Hypothesis:
    """axis: whether its directions are written, read, or of both kinds. scope: one basis for all blocks, or one each.

    given: what it is built of. formula: in words. source: of the idea, where it is not the published sweep.
    """

    name: str
    family: str
    axis: Axis
    given: Given
    scope: str
    formula: str
    source: str
    build: Callable[[Any, int, int], Basis]


HYPOTHESES: dict[str, Hypothesis] = {}


def hypothesis(
    family: str, axis: Axis, given: Given, *, scope: str = BLOCK, source: str = ""
) -> Callable[[Callable[[Any, int, int], Basis]], Callable[[Any, int, int], Basis]]:
    """Register a function (given, block, k) -> Basis under its own name; its docstring is the formula."""

    def register(build: Callable[[Any, int, int], Basis]) -> Callable[[Any, int, int], Basis]:
        formula = " ".join((build.__doc__ or "").split())
        HYPOTHESES[build.__name__] = Hypothesis(build.__name__, family, axis, given, scope, formula, source, build)
        return build

    return register


@dataclass(frozen=True)
class Built:
    """One basis at one block. status: ok, collapsed: narrower than asked for, or not applicable: why.

    The rest as in `Hypothesis`.
    """

    name: str
    block: int
    basis: Basis | None
    status: str = "ok"
    family: str = ""
    axis: str = "mixed"
    scope: str = BLOCK


def built(given: Any, kinds: Iterable[Given], blocks: Sequence[int], k: int) -> Iterable[Built]:
    """Yield the bases of all hypotheses that are built of some kinds of things, at some blocks."""
    wanted = {*kinds}
    for each in HYPOTHESES.values():
        if each.given not in wanted:
            continue
        shared: Built | None = None
        for block in blocks:
            found = shared or _built(each, given, block, k)
            yield replace(found, block=block)
            shared = found if each.scope == MODEL else None


def _built(each: Hypothesis, given: Any, block: int, k: int) -> Built:
    try:
        basis = each.build(given, block, k)
    except NotApplicableError as error:
        return Built(each.name, block, None, f"not applicable: {error}", each.family, each.axis, each.scope)
    width = basis.Q.shape[1]
    status = "ok" if width >= k else f"collapsed: {width} of {k} directions"
    return Built(each.name, block, basis, status, each.family, each.axis, each.scope)
