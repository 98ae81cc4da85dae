"""Do two groups of trajectories live equally long? Log-rank tests between doses, and between methods."""

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import CensoredData, logrank

from steerdose.columns import CELL, has_dose
from steerdose.errors import SteerdoseError
from steerdose.seeds import seed_from

FEW_DEATHS = 5
RESAMPLES = 9999
Group = tuple[str, float]  # method, alpha
TINY = 1e-9  # log-rank scores are sums of fractions
COLUMNS: dict[str, type[pl.DataType]] = {
    **{"model": pl.String, "behavior": pl.String, "seed": pl.Int64, "comparison": pl.String},
    **{"method_a": pl.String, "alpha_a": pl.Float64, "method_b": pl.String, "alpha_b": pl.Float64},
    **{"n_a": pl.Int64, "died_a": pl.Int64, "n_b": pl.Int64, "died_b": pl.Int64, "excess_b": pl.Float64},
    **{"chi2": pl.Float64, "p": pl.Float64, "p_holm": pl.Float64},
    **{"pairs": pl.Int64, "p_paired": pl.Float64, "p_paired_holm": pl.Float64, "note": pl.String},
}


def logrank_table(lifetimes: pl.DataFrame, comparisons: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """Compare doses and methods; lifetimes: as `lifetimes` returns them, of any number of cells.

    A row a comparison of groups a and b, a group being one method at one alpha of a cell:
    * unsteered: alpha 0 of a method with each of its other alphas.
    * neighbours: each alpha of a method with the next larger one; not of a prompt, which has no dose.
    * each name of `comparisons`: every two of its methods at each alpha that they share, but for alpha 0, where all are
      the unsteered model.

    Returns `COLUMNS`: the cell, the two groups, and what `compare` returns; p_holm and p_paired_holm are corrected over
    the tests of one comparison in one cell. Raises SteerdoseError for a comparison that has one of the other two names.
    """
    if taken := sorted({"unsteered", "neighbours"} & set(comparisons)):
        raise SteerdoseError(
            f"comparisons: '{taken[0]}' is the name of a comparison of doses; give the set another name"
        )
    rows: list[dict[str, Any]] = []
    for cell in lifetimes.sort(CELL, maintain_order=True).partition_by(CELL, maintain_order=True):
        groups = cell.partition_by("method", "alpha", as_dict=True, maintain_order=True)
        keys = cell.select(CELL).row(0, named=True)
        for comparison, pairs in _planned(cell, comparisons).items():
            family = [compare(groups[a], groups[b]) for a, b in pairs]
            corrected = {f"{name}_holm": holm([each.get(name) for each in family]) for name in ("p", "p_paired")}
            for i, ((a, b), found) in enumerate(zip(pairs, family, strict=True)):
                names = {"method_a": a[0], "alpha_a": a[1], "method_b": b[0], "alpha_b": b[1]}
                holms = {name: values[i] for name, values in corrected.items()}
                rows.append({**keys, "comparison": comparison, **names, **found, **holms})
    return pl.DataFrame(rows, schema=COLUMNS)


def compare(a: pl.DataFrame, b: pl.DataFrame) -> dict[str, Any]:
    """Return n and deaths of two groups of lifetimes, the log-rank test between them, and its paired permutation test.

    excess_b: deaths in b, observed minus expected. chi2 (1 degree of freedom), p: scipy's log-rank test. It is
    lifelines' (see the tests) in a twentieth of the time, and a study has a thousand pairs of groups. It takes all
    trajectories as independent, while here both groups answer the same prompts. A prompt that is fragile in a tends to
    be fragile in b, so the excess varies less than the test assumes, and p errs on the large side.

    p_paired: the same excess against its distribution when a and b are swapped within prompts. excess_b is the sum over
    b of log-rank scores, death minus pooled Nelson-Aalen hazard at the end of the lifetime. A swap does not change the
    scores, it flips the sign of a prompt's difference between them (Jung, 1999, has this test for large samples).
    pairs: the prompts of both groups whose scores differ.

    Where no fork can tell the groups apart the results are left out, and a note says why: the variance of the excess is
    0 unless, at some death, both are at risk and one lives on.
    """
    duration, died = ([side[name].to_numpy() for side in (a, b)] for name in ("duration", "died"))
    counts = {"n_a": a.height, "died_a": int(died[0].sum()), "n_b": b.height, "died_b": int(died[1].sum())}
    deaths, dying = np.unique(np.concatenate(duration)[np.concatenate(died)], return_counts=True)
    if not deaths.size:
        return counts | {"note": "nobody died"}
    at_risk = np.stack([(ends[:, None] >= deaths).sum(axis=0) for ends in duration])
    n = at_risk.sum(axis=0)
    if not (at_risk.min(axis=0) * (n - dying)).any():
        return counts | {"note": "no fork tells them apart"}
    test = logrank(*[CensoredData(ends[dead], right=ends[~dead]) for ends, dead in zip(duration, died, strict=True)])
    hazard = np.r_[0, np.cumsum(dying / n)]  # Nelson-Aalen's, before and from each death on
    score_a, score_b = (
        side.select("prompt_id", score=dead - hazard[np.searchsorted(deaths, ends, side="right")])
        for side, ends, dead in zip((a, b), duration, died, strict=True)
    )
    paired = score_a.join(score_b, on="prompt_id", suffix="_b").select(pl.col("score_b") - pl.col("score"))
    differences = paired.to_series().to_numpy()
    few = f"under {FEW_DEATHS} deaths: read p paired"
    return counts | {
        "excess_b": float(score_b["score"].sum()),
        "chi2": float(test.statistic**2),
        "p": float(test.pvalue),
        "pairs": int((np.abs(differences) > TINY).sum()),
        "p_paired": sign_flip_p(differences),
        "note": few if dying.sum() < FEW_DEATHS else None,
    }


def sign_flip_p(differences: np.ndarray) -> float:
    """Return the two-sided p of the sum of paired differences, (pairs,), if either sign of each is equally likely.

    Exact over the 2^n sign patterns of the n differences that are not 0; where these are more than `RESAMPLES`, over
    so many drawn patterns and the observed one.
    """
    differences = differences[np.abs(differences) > TINY]
    n = len(differences)
    if 2**n <= RESAMPLES:
        flips = np.arange(2**n)[:, None] >> np.arange(n) & 1
    else:
        flips = np.random.default_rng(seed_from("sign flips", n)).integers(0, 2, (RESAMPLES + 1, n), dtype=np.int8)
        flips[0] = 0
    sums = differences.sum() - 2 * flips @ differences
    return float((np.abs(sums) >= abs(differences.sum()) - TINY).mean())


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Return p values corrected for their number, so that the family-wise error holds (Holm, 1979). Null: no test."""
    tests = sorted((value, i) for i, value in enumerate(p) if value is not None)
    corrected: list[float | None] = [None] * len(p)
    largest = 0.0
    for done, (value, i) in enumerate(tests):
        corrected[i] = largest = max(largest, min(1.0, (len(tests) - done) * value))
    return corrected


def _planned(cell: pl.DataFrame, comparisons: Mapping[str, Sequence[str]]) -> dict[str, list[tuple[Group, Group]]]:
    """Return the pairs of groups by comparison."""
    prompts = set(cell.filter(~has_dose())["method"])
    alphas = dict(cell.group_by("method", maintain_order=True).agg(pl.col("alpha").unique().sort()).rows())
    return {
        "unsteered": [((m, 0.0), (m, alpha)) for m in alphas if 0 in alphas[m] for alpha in alphas[m] if alpha],
        "neighbours": [((m, low), (m, high)) for m in alphas if m not in prompts for low, high in pairwise(alphas[m])],
        **{
            name: [
                ((a, alpha), (b, alpha))
                for a, b in combinations([method for method in alphas if method in members], 2)
                for alpha in alphas[a]
                if alpha and alpha in alphas[b]
            ]
            for name, members in comparisons.items()
        },
    }
