"""Rows that share the blocks below the first edit: an unsteered twin reads the same tokens as its steered row, so up to
the first edited block the two are one row, and only there they fan out."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from steerdose.errors import SteerdoseError
from steerdose.model.architecture import find_blocks, text_config
from steerdose.steering.steering import Steering


def count_shared(model: Any, steerings: Sequence[Steering]) -> int:
    """Return how many of the first blocks no edit of any steering touches; 0 where an edit is outside the blocks."""
    if getattr(text_config(model), "num_kv_shared_layers", 0):  # later blocks read the keys of earlier ones
        return 0
    try:
        blocks = find_blocks(model)
    except SteerdoseError:
        return 0
    paths = [path for steering in steerings for path, _ in steering.edits]
    edited = [[i for i, block in enumerate(blocks) if f"{path}.".startswith(f"{block}.")] for path in paths]
    return min((found[0] if found else 0 for found in edited), default=0)


class RowSplit:
    """An active split; it passes rows as they are until `set` says which row below each row above comes from."""

    def __init__(self) -> None:
        self.rows: Tensor | None = None
        self.n_below = 0

    def set(self, rows: Tensor, n_below: int) -> None:
        """rows: (rows above,), index of the row below; n_below: rows that the model is fed."""
        self.rows, self.n_below = rows, n_below

    def fan_out(self, value: Any) -> Any:
        """Return `value`, an argument of a block, with the rows above in every tensor that has the rows below."""
        if isinstance(value, Tensor):
            return value[self.rows] if value.ndim > 1 and len(value) == self.n_below else value
        if isinstance(value, dict):
            return {name: self.fan_out(item) for name, item in value.items()}
        if type(value) in (tuple, list):
            return type(value)(self.fan_out(item) for item in value)
        return value


@contextmanager
def split_rows(model: nn.Module, n_shared: int) -> Iterator[RowSplit]:
    """Let rows fan out in front of block `n_shared` while the context is open; with 0 there is nothing to share."""
    split, modules = RowSplit(), dict(model.named_modules())

    def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return None if split.rows is None else (split.fan_out(args), split.fan_out(kwargs))

    def follow(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The hidden state has fanned out by now; masks and positions come afresh from the model."""
        if split.rows is None:
            return None
        rest = {name: value if name == "hidden_states" else split.fan_out(value) for name, value in kwargs.items()}
        return (*args[:1], *split.fan_out(args[1:])), rest

    with ExitStack() as stack:
        for index, path in enumerate(find_blocks(model)[n_shared:] if n_shared else []):
            hook = follow if index else enter
            handle = modules[path].register_forward_pre_hook(hook, with_kwargs=True)
            stack.callback(handle.remove)
        yield split
