"""Is it the direction, or would any push as strong do the same? Effects beside those of a control at equal KL."""

from collections.abc import Collection, Mapping

import numpy as np
import polars as pl

from steerdose.benefit.effects import Sums, resampled
from steerdose.columns import CELL

Kl = Mapping[tuple[str, float], float]  # p95 that a method's dose delivered, nats


def control_effect(sums: Mapping[float, Sums], method: str, kl: Kl, wanted: float, sign: float) -> np.ndarray | None:
    """Return the effect of a control at a KL, (1 + draws,), straight between its doses and 0 at none.

    sums, method: of the control. wanted: nats. None beyond the KL that the control's doses of this sign delivered.
    """
    doses = sorted((kl[method, alpha], alpha) for alpha in sums if alpha * sign > 0)
    if not doses or wanted > doses[-1][0]:
        return None
    after = next(i for i, (given, _) in enumerate(doses) if given >= wanted)
    weights = resampled(sums[doses[after][1]].n_clusters)
    high = sums[doses[after][1]].estimates(weights)["effect"]
    low_kl, low = 0.0, np.zeros_like(high)
    if after:
        low_kl, low = doses[after - 1][0], sums[doses[after - 1][1]].estimates(weights)["effect"]
    way = (wanted - low_kl) / (doses[after][0] - low_kl)
    return low + way * (high - low)


def specificity(
    sums: Mapping[str, Mapping[float, Sums]], controls: Collection[str], kl: Kl, confidence: float
) -> list[dict[str, object]]:
    """Return a row a method, dose and control of one cell and measure: both effects, and the control's share.

    sums: by method and alpha. controls: names of methods that push at random, which are compared with nothing. share:
    effect of the control over that of the method, with percentiles over items; null where the method's interval has 0
    in it.
    """
    rows, tail = [], (1 - confidence) / 2
    for method, doses in sums.items():
        for control in (each for each in controls if method not in controls):
            for alpha, own in doses.items():
                if (method, alpha) not in kl or control not in sums:
                    continue
                theirs = control_effect(sums[control], control, kl, kl[method, alpha], alpha)
                if theirs is None:
                    continue
                mine = own.estimates(resampled(own.n_clusters))["effect"]
                low, high = np.quantile(mine[1:], [tail, 1 - tail])
                row = {"method": method, "alpha": alpha, "control": control, "kl": kl[method, alpha]}
                row |= {"effect": float(mine[0]), "control_effect": float(theirs[0])}
                row |= _bounds("control_effect", theirs[1:], tail)
                if low > 0 or high < 0:
                    row |= {"share": float(theirs[0] / mine[0])} | _bounds("share", theirs[1:] / mine[1:], tail)
                rows.append(row)
    return rows


def _bounds(name: str, drawn: np.ndarray, tail: float) -> dict[str, float]:
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return {f"{name}_low": float(low), f"{name}_high": float(high)}


def kl_of(delivered: pl.DataFrame, cell: Mapping[str, object]) -> Kl:
    """Return the p95 that each method and dose of a cell delivered. delivered: the table of delivered KL."""
    own = delivered.filter(**{name: cell[name] for name in CELL}).drop_nulls("p95").filter(pl.col("alpha") != 0)
    return {(method, alpha): p95 for method, alpha, p95 in own.select("method", "alpha", "p95").iter_rows()}
