"""What a task finds of an item."""

from typing import NamedTuple

import polars as pl


class Found(NamedTuple):
    """A metric of one item in one form; cluster: of items that belong together; label: 1, -1, or none."""

    item: str
    cluster: str
    form: str
    label: int | None
    metric: str
    value: float | None


TYPES: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("item", "cluster", "form"), pl.String),
    **{"label": pl.Int64, "metric": pl.String, "value": pl.Float64},
}
