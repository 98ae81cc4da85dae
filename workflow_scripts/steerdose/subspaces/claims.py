"""What may be said of directions that were named before training, by rules that were set beforehand, as sentences."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import polars as pl
from scipy.stats import spearmanr

from steerdose.subspaces.causes import PLACE, controls, correlation, over_seeds, pairs, scored, widest

HELD, IN_PART = 0.7, 0.1  # share of the way from chance to the best directions
SURE = 0.05  # q, and p of a rank correlation
KINDS = {"written": ("write", "mixed"), "stream": ("write", "mixed"), "read": ("read", "mixed")}
TOLD = {
    "written": "what the weights write",
    "stream": "the change of the stream",
    "read": "what the weights read",
}
Claim = dict[str, Any]


def claims(subspaces: pl.DataFrame, parts: pl.DataFrame) -> Iterator[Claim]:
    """Yield a claim a question. subspaces, parts: the tables of these names."""
    for place, own in widest(subspaces).group_by(*PLACE, "method", maintain_order=True):
        key = dict(zip((*PLACE, "method"), place, strict=True)) | {"seeds": int(own["seeds"].max())}  # type: ignore[arg-type]
        for target, axes in KINDS.items():
            rows = own.filter(pl.col("target") == target, pl.col("axis").is_in(axes))
            if not rows.is_empty():
                yield _claim(key, TOLD[target], *of_best(rows))
        for target in TOLD:
            if agreement := of_seeds(own.filter(target=target)):
                yield _claim(key, f"do seeds agree on {TOLD[target]}", *agreement)
    for place, rows in pairs(scored(subspaces, parts)):
        model, behavior, method, swept, at = place
        key = {"model": model, "behavior": behavior, "method": method, "seeds": rows["seeds"][0]}
        matched = "the whole's coefficient" if at == "coefficient" else "the whole's KL"
        for target in ("written", "stream"):
            if found := correlation(rows, target):
                question = f"does a score on {TOLD[target]} ({swept}) predict the effect at {matched}"
                yield _claim(key, question, *of_prediction(found))
        random = controls(over_seeds(parts)).filter(
            pl.col("model") == model, pl.col("behavior") == behavior, pl.col("method") == method,
            pl.col("at") == at, pl.col("side") == "keep", pl.col("part").str.starts_with("random"),
        )  # fmt: skip
        if not random["retained"].drop_nulls().is_empty():
            yield _claim(key, f"parts that do more than random directions at {matched}", *of_rivals(rows, random))


def _claim(key: dict[str, Any], question: str, verdict: str, sentence: str) -> Claim:
    alone = "" if key["seeds"] > 1 else " One seed alone says so: no claim."
    return {**key, "question": question, "verdict": verdict, "sentence": sentence + alone}


def of_best(rows: pl.DataFrame) -> tuple[str, str]:
    """Return how much of a target the best hypothesis holds. rows: of one target, single seeds and over all of them."""
    best = over_seeds(rows).sort("recovery", descending=True).row(0, named=True)
    single = rows.filter(pl.col("seed").is_not_null())
    sure = all((q or 1.0) < SURE for q in single.filter(subspace=best["subspace"])["q"])
    told = single.filter(pl.col("q") < SURE).group_by("subspace").len().filter(len=single["seed"].n_unique())
    excess = best["excess"] or 0.0
    verdict = "held" if excess >= HELD else "in part" if excess >= IN_PART else "hardly" if sure else "not"
    bounds = "" if best["low"] is None else f" ({best['low']:.2f} to {best['high']:.2f})"
    return verdict, (
        f"{best['subspace']}, the best of {rows['subspace'].n_unique()}, recovers {best['recovery']:.2f}{bounds} times "
        f"chance with {best['width']} directions, where the best directions recover {best['best']:.2f}: {excess:.1%} "
        f"of the way. Told from chance in every seed: {len(told)}."
    )


def of_seeds(rows: pl.DataFrame) -> tuple[str, str] | None:
    """Return whether seeds put hypotheses into one order. rows: of one target. None for one seed."""
    single = rows.filter(pl.col("seed").is_not_null())
    by_seed = [own.sort("subspace")["recovery"] for _, own in single.group_by("seed", maintain_order=True)]
    if len(by_seed) < 2 or len({len(each) for each in by_seed}) > 1 or len(by_seed[0]) < 4:
        return None
    found = [float(spearmanr(a, b).statistic) for a, b in combinations(by_seed, 2)]
    verdict = "they agree" if min(found) >= HELD else "they do not"
    told = f"{min(found):.2f} to {max(found):.2f}"
    return verdict, f"The rank correlation of {len(by_seed[0])} hypotheses between two seeds is {told}."


def of_prediction(found: tuple[float, float, int]) -> tuple[str, str]:
    """Return whether scores put parts into the order of their effects. found: see `correlation`."""
    rho, p, n = found
    verdict = "predicts" if p < SURE and rho > 0 else "misleads" if p < SURE else "does not predict"
    return verdict, f"Over {n} hypotheses, which are not independent, the rank correlation is {rho:.2f} (p {p:.2g})."


def of_rivals(rows: pl.DataFrame, random: pl.DataFrame) -> tuple[str, str]:
    """Return which parts retain more than every random one, by bounds that hold for all of them at once."""
    most = max(random["retained"].drop_nulls())
    better = rows.filter(pl.col("sure_low") > most).sort("retained", descending=True)
    named = ", ".join(f"{name} {share:.0%}" for name, share in better.select("part", "retained").head(5).iter_rows())
    told = f" ({named})" if named else ""
    return ("some" if named else "none"), (
        f"{len(better)} of {len(rows)}{told} retain more than the best of {len(random)} random subspaces ({most:.0%})."
    )
