"""A key-value cache for rollouts: preallocated, rows can be copied at the start and dropped at any time."""

from collections.abc import Iterator

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


class RowLayer(CacheLayerMixin):
    """Keys and values of one attention layer, (rows, heads, capacity, width); sliding layers keep every token too.

    Masks keep sliding layers inside their window, so a fork can later read any prefix. place: (1,), where the next
    token goes while the cache is fixed (see `static`) and all of the capacity is read; else None.
    """

    is_sliding = False

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0
        self.rows = 0
        self.place: Tensor | None = None

    @property
    def is_compileable(self) -> bool:
        """Whether masks are made of all of the capacity, also where nothing is padded."""
        return self.place is not None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.rows = len(key_states)
        self.keys = key_states.new_empty(self.rows, key_states.shape[1], self.capacity, key_states.shape[3])
        self.values = value_states.new_empty(self.rows, value_states.shape[1], self.capacity, value_states.shape[3])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if self.place is not None:
            keys, values = self.keys[: self.rows], self.values[: self.rows]
            return keys.index_copy_(2, self.place, key_states), values.index_copy_(2, self.place, value_states)
        start, self.length = self.length, self.length + key_states.shape[2]
        self.keys[: self.rows, :, start : self.length] = key_states
        self.values[: self.rows, :, start : self.length] = value_states
        return self.keys[: self.rows, :, : self.length], self.values[: self.rows, :, : self.length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length if self.place is None else self.capacity, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return self.capacity


class PrefixLayer(CacheLayerMixin):
    """Some rows of a layer, to be read: `update` returns them and new tokens together and stores nothing.

    They are copied there, so that only one layer's copies exist at a time.
    """

    is_sliding = False

    def __init__(self, whole: RowLayer, rows: Tensor) -> None:
        super().__init__()
        self.whole, self.rows, self.is_initialized = whole, rows, True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:  # noqa: ARG002
        raise AssertionError("a prefix is initialized when it is made")

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        keys, values = (each[self.rows, :, : self.whole.length] for each in (self.whole.keys, self.whole.values))
        return torch.cat([keys, key_states], 2), torch.cat([values, value_states], 2)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.whole.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.whole.length

    def get_max_length(self) -> int:
        return -1


class RowCache(Cache):
    """A cache of `RowLayer`s that knows about rows.

    The first `n_shared` layers hold one set of rows and the others another: rows that differ only in how they are
    steered share the layers below the first edit. Methods take the rows of the shared layers and those of the others.
    """

    def __init__(self, n_layers: int, capacity: int, n_shared: int = 0) -> None:
        super().__init__(layers=[RowLayer(capacity) for _ in range(n_layers)])
        self.n_shared = n_shared

    def _rows(self, shared: Tensor, rows: Tensor) -> Iterator[tuple[int, RowLayer, Tensor]]:
        for index, layer in enumerate(self.layers):
            if layer.is_initialized:  # models that share keys between layers leave some empty
                yield index, layer, shared if index < self.n_shared else rows

    def expanded(self, shared: Tensor, rows: Tensor, capacity: int) -> "RowCache":
        """Return a cache of `capacity` whose row i is a copy of this cache's row `rows[i]`."""
        grown = RowCache(len(self.layers), capacity, self.n_shared)
        for index, layer, chosen in self._rows(shared, rows):
            grown.layers[index].update(layer.keys[chosen, :, : layer.length], layer.values[chosen, :, : layer.length])
        return grown

    def keep(self, shared: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Drop all rows but those given (sorted) by moving the last rows into the holes.

        Returns the new orders: entry i is the old row that now is row i.
        """
        plans = [_refill(kept) for kept in (shared, rows)]
        for index, layer, _ in self._rows(shared, rows):
            order, holes = plans[index >= self.n_shared]
            for buffer in (layer.keys, layer.values):
                buffer[holes, :, : layer.length] = buffer[order[holes], :, : layer.length]
            layer.rows = len(order)
        return plans[0][0], plans[1][0]

    def fix(self, place: Tensor | None) -> None:
        """Let tokens go to a place that a tensor names, (1,), from now on; None: behind the last again."""
        for layer in self.layers:
            layer.place = place
            if place is not None and layer.is_initialized:
                for buffer in (layer.keys, layer.values):
                    buffer[:, :, layer.length :] = 0  # masked, but 0 times what memory held before might be no number

    def set_length(self, length: int) -> None:
        for layer in self.layers:
            layer.length = length

    def prefix(self, shared: Tensor, rows: Tensor) -> Cache:
        """Return some rows to be read, until this cache changes, by several continuations of them in one forward."""
        layers: list[CacheLayerMixin] = [RowLayer(0) for _ in self.layers]
        for index, layer, chosen in self._rows(shared, rows):
            layers[index] = PrefixLayer(layer, chosen)
        return Cache(layers=layers)


def _refill(kept: Tensor) -> tuple[Tensor, Tensor]:
    """Return the order of rows after the last of `kept` (sorted) moved into the holes, and the holes."""
    order, inside = torch.arange(len(kept)), kept[kept < len(kept)]
    hole = torch.ones(len(kept), dtype=torch.bool)
    hole[inside] = False
    holes = hole.nonzero().flatten()
    order[holes] = kept[kept >= len(kept)]
    return order, holes
