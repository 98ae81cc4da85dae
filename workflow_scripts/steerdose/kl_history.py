"""The KL of a trajectory on its way: against its own beginning, and since it was last seen alive."""

import polars as pl

from .errors import SteerdoseError
from .tables import KEYS

HEAD = 20  # tokens at a trajectory's beginning that set its own scale: enough for a p95, few against the window


def normalised_kl(tokens: pl.DataFrame, n: int = HEAD) -> pl.DataFrame:
    """Return tokens with a column `normalised`: KL over the p95 of that trajectory's first n tokens; no unit.

    tokens: KEYS, t (from 1), kl (nats), one row a token; order, other columns and other trajectories do not matter, and
    rows keep their order. The p95 interpolates linearly, as in `kl_statistics`, and is of the raw KL: smooth a curve
    after this, never before, since a mean over neighbours reaches behind the n tokens and flattens spikes.

    Null where there is no scale: a trajectory of fewer than n tokens, or whose p95 is 0, as all are at alpha 0.

    Raises SteerdoseError for n below 1.
    """
    if n < 1:
        raise SteerdoseError(f"n: expected at least 1 token to take the p95 of, found {n}; raise it in the config")
    p95 = pl.col("kl").cast(pl.Float64).quantile(0.95, "linear")
    head = tokens.filter(pl.col("t") <= n).group_by(KEYS).agg(p95.alias("scale"), pl.len().alias("length"))
    scales = head.filter((pl.col("length") == n) & (pl.col("scale") > 0)).drop("length")
    joined = tokens.join(scales, on=KEYS, how="left", nulls_equal=True, maintain_order="left")
    return joined.with_columns((pl.col("kl") / pl.col("scale")).alias("normalised")).drop("scale")
