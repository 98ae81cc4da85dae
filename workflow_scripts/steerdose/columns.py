"""Key columns of the tables that pass between rules."""

from dataclasses import astuple, dataclass, replace
from typing import Any

import polars as pl

KEYS = ("model", "behavior", "seed", "method", "alpha", "coefficient", "prompt_id", "sample")
COHORT = KEYS[:6]  # the trajectories of one method and dose differ in their prompt, and which sample of it they are
METHOD = KEYS[:4]
CELL = KEYS[:3]
SIGNS = {"positive": 1.0, "negative": -1.0}  # of alpha; each has a dose of its own


def sign_of(alpha: float) -> str:
    """Return the key of `SIGNS` that a dose, or a coefficient, belongs to; 0 counts as positive."""
    return "negative" if alpha < 0 else "positive"


@dataclass(frozen=True)
class Cell:
    """Where a job stands: the key columns that its rule's wildcards name; None where it has none."""

    model: str
    behavior: str | None = None
    seed: int | None = None
    method: str | None = None

    def of(self, method: str | None) -> "Cell":
        """Return the place of one method of a job that has several; None: the cell that they share."""
        return replace(self, method=method)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the key columns that are there."""
        return KEYS[: len(self.parts)]

    @property
    def parts(self) -> tuple[Any, ...]:
        """The values that are there, in the order of the keys; seeds are made of them."""
        return tuple(value for value in astuple(self) if value is not None)

    def columns(self) -> list[pl.Expr]:
        """Return the key columns as constants."""
        return [pl.lit(value).alias(name) for name, value in zip(self.names, self.parts, strict=True)]


def has_dose() -> pl.Expr:
    """Whether the row's method has a dose: the rows of a prompt have no coefficient but at alpha 0."""
    return pl.col("coefficient").is_not_null().all().over(METHOD).alias("has_dose")


def deciding() -> pl.Expr:
    """Whether a row is by the study's deciding endpoint, which comes first in every file of survival."""
    return pl.col("endpoint") == pl.first("endpoint")


def sign_of_alpha() -> pl.Expr:
    """The sign of a row's alpha; 0, the unsteered model, counts as positive."""
    return pl.when(pl.col("alpha") < 0).then(pl.lit("negative")).otherwise(pl.lit("positive")).alias("sign")
