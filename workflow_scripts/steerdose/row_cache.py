"""A key-value cache for rollouts: preallocated, rows can be copied at the start and dropped at any time."""

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


class RowLayer(CacheLayerMixin):
    """Keys and values of one attention layer, (rows, heads, capacity, width); sliding layers keep every token too.

    Masks keep sliding layers inside their window, so a fork can later read any prefix.
    """

    is_sliding = False

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0
        self.rows = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.rows = len(key_states)
        self.keys = key_states.new_empty(self.rows, key_states.shape[1], self.capacity, key_states.shape[3])
        self.values = value_states.new_empty(self.rows, value_states.shape[1], self.capacity, value_states.shape[3])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self.length = self.length, self.length + key_states.shape[2]
        self.keys[: self.rows, :, start : self.length] = key_states
        self.values[: self.rows, :, start : self.length] = value_states
        return self.keys[: self.rows, :, : self.length], self.values[: self.rows, :, : self.length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return self.capacity


class PrefixLayer(CacheLayerMixin):
    """Read-only prefix of one layer: `update` returns prefix and new tokens together and stores nothing."""

    is_sliding = False

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.keys, self.values, self.is_initialized = keys, values, True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:  # noqa: ARG002
        raise AssertionError("a prefix is initialized when it is made")

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        return torch.cat([self.keys, key_states], 2), torch.cat([self.values, value_states], 2)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.keys.shape[2] + query_length, 0

    def get_seq_length(self) -> int:
        return self.keys.shape[2]

    def get_max_length(self) -> int:
        return -1


class RowCache(Cache):
    """A cache of `RowLayer`s that knows about rows."""

    def __init__(self, n_layers: int, capacity: int) -> None:
        super().__init__(layers=[RowLayer(capacity) for _ in range(n_layers)])

    def expanded(self, rows: Tensor, capacity: int) -> "RowCache":
        """Return a cache of `capacity` whose row i is a copy of this cache's row `rows[i]`."""
        grown = RowCache(len(self.layers), capacity)
        for old, new in zip(self.layers, grown.layers, strict=True):
            if old.is_initialized:  # models that share keys between layers leave some empty
                new.update(old.keys[rows, :, : old.length], old.values[rows, :, : old.length])
        return grown

    def keep(self, kept: Tensor) -> Tensor:
        """Drop all rows but `kept` (sorted) by moving the last rows into the holes.

        Returns the new order: entry i is the old row that now is row i.
        """
        n = len(kept)
        inside = kept[kept < n]
        hole = torch.ones(n, dtype=torch.bool)
        hole[inside] = False
        holes, movers = hole.nonzero().flatten(), kept[kept >= n]
        order = torch.arange(n)
        order[holes] = movers
        for layer in self.layers:
            if layer.is_initialized:
                for buffer in (layer.keys, layer.values):
                    buffer[holes, :, : layer.length] = buffer[movers, :, : layer.length]
                layer.rows = n
        return order

    def prefix(self, rows: Tensor) -> Cache:
        """Return a read-only copy of some rows, to score several continuations of them in one forward."""
        return Cache(
            layers=[
                PrefixLayer(layer.keys[rows, :, : layer.length], layer.values[rows, :, : layer.length])
                if layer.is_initialized
                else RowLayer(0)
                for layer in self.layers
            ]
        )
