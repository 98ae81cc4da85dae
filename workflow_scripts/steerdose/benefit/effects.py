"""What a dose changes on a task: how far, in which direction, and whether it is the behavior or a habit of answering.

Every item is compared with itself under the unsteered model. On tasks of two answers a row has y, the log-odds of its
first answer, and a label, 1 where that answer shows the behavior and -1 where the other does. A steered model that says
yes more often moves y by the same a in all rows; one that shows the behavior moves it by b times the label. So the
change of y is taken apart, change = a + b label, by least squares, in rows with words and rows with letters apart:
b is the effect, a over rows with words the Yes-shift, a over rows with letters the shift to the first letter. On all
other tasks the effect is the mean change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import false_discovery_control, norm
from scipy.stats import t as student_t

from steerdose.benefit.surgical import surgical_informedness
from steerdose.columns import CELL, METHOD
from steerdose.errors import SteerdoseError
from steerdose.seeds import seed_from
from steerdose.study.tasks import ChoiceTask, WritingTask, measures_of
from steerdose.survival.lethal_dose import RESAMPLES

SPLITS = 400  # of the items into halves
POWER = 0.8  # of which a detectable effect would be found
KINDS = ("worded", "lettered")  # of rows with two answers
WORSE = frozenset({"nll"})  # measures of which more is worse


@dataclass(frozen=True)
class Sums:
    """What estimates are made of: (kinds, 4, clusters) sums of 1, label, change and label x change.

    labelled: whether the label takes the change apart; else it is 1 everywhere.
    """

    values: np.ndarray
    labelled: bool

    @property
    def n_clusters(self) -> int:
        return self.values.shape[2]

    def estimates(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return effect, mean_shift, yes_shift and order_shift, (draws,) each. weights: (draws, clusters)."""
        n, label, change, product = np.einsum("ksc,dc->skd", self.values, weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = product.sum(0) / n.sum(0)
            if not self.labelled:
                nothing = np.full(len(weights), np.nan)
                return {"effect": mean, "mean_shift": mean, "yes_shift": nothing, "order_shift": nothing}
            spread = n * n - label * label  # 0 where all labels of a kind are equal
            slope = np.where(spread > 0, (n * product - label * change) / spread, np.nan)
            lean = np.where(spread > 0, (n * change - label * product) / spread, np.nan)
            known = np.where(np.isfinite(slope), n, 0)
            effect = (np.nan_to_num(slope) * known).sum(0) / known.sum(0)
        return {"effect": effect, "mean_shift": mean, "yes_shift": lean[0], "order_shift": lean[1]}


def resampled(n: int) -> np.ndarray:
    """Return how often each of n clusters counts, (1 + `RESAMPLES`, n): once, and as each resample draws it."""
    generator = np.random.default_rng(seed_from("effects", n))
    return np.vstack([np.ones(n), generator.multinomial(n, np.full(n, 1 / n), size=RESAMPLES)])


def split(n: int) -> np.ndarray:
    """Return which of n clusters are in one half and which in the other, (2, `SPLITS`, n), of an odd n one in none."""
    order = np.random.default_rng(seed_from("halves", n)).permuted(np.tile(np.arange(n), (SPLITS, 1)), axis=1)
    half = n // 2
    return np.stack([order < half, (half <= order) & (order < 2 * half)]).astype(float)


def rows_of(scores: pl.DataFrame, task: Any, measure: str) -> pl.DataFrame:
    """Return the rows of a measure: keys, alpha, item, cluster, form, label, kind, y, and the unsteered y_0.

    Rows without an unsteered value are left out: nothing is known of their change. What was written and is broken shows
    no valence, so no change of it was delivered: its y is y_0.
    """
    metric = measure
    if isinstance(task, ChoiceTask):
        forms = task.measures.get(measure) or tuple(task.forms)
        metric, scores = "logratio", scores.filter(pl.col("form").is_in(forms))
    lettered = [name for name, form in task.forms.items() if form.is_lettered] if isinstance(task, ChoiceTask) else []
    check_rows(scores.filter(metric=metric))
    own = scores.filter(metric=metric).select(
        *METHOD, "alpha", "item", "cluster", "form", pl.col("label").fill_null(1), pl.col("value").alias("y"),
        pl.col("form").is_in(lettered).cast(pl.Int8).alias("kind"),
    )  # fmt: skip
    base = own.filter(alpha=0.0).drop_nulls("y").select(*METHOD, "item", "form", pl.col("y").alias("y_0"))
    paired = own.join(base, on=[*METHOD, "item", "form"], how="inner", maintain_order="left")
    if isinstance(task, WritingTask):
        return paired.with_columns(pl.col("y").fill_null(pl.col("y_0")))
    return paired.drop_nulls("y")


def check_rows(scores: pl.DataFrame) -> None:
    """Raise SteerdoseError unless every method and dose has the same items in the same forms, each once."""
    sets = scores.group_by(*METHOD, "alpha", maintain_order=True).agg(
        pl.struct("item", "form").sort().alias("rows"), pl.struct("item", "form").n_unique().alias("n")
    )
    first = sets["rows"].to_list()[:1]
    for keys in sets.iter_rows(named=True):
        if keys["n"] != len(keys["rows"]) or [keys["rows"]] != first:
            raise SteerdoseError(
                f"scores: expected the same items at every dose of every method, found others for {keys['method']} at "
                f"alpha {keys['alpha']:g}; rerun score_task (--forcerun score_task)"
            )


def sums_by_dose(rows: pl.DataFrame, task: Any) -> dict[str, dict[float, Sums]]:
    """Return the sums of every method of a cell at every dose but 0; all have the same clusters in the same order."""
    clusters, found = rows["cluster"].unique(maintain_order=True).to_list(), {}
    for (method,), own in rows.filter(pl.col("alpha") != 0).group_by("method", maintain_order=True):
        parts = own.group_by("alpha", maintain_order=True)
        found[str(method)] = {
            float(alpha): sums_of(part, clusters, isinstance(task, ChoiceTask)) for (alpha,), part in parts
        }
    return found


def sums_of(rows: pl.DataFrame, clusters: Sequence[str], labelled: bool) -> Sums:
    """Return the sums of the rows of one dose, by cluster in the given order."""
    place = {name: i for i, name in enumerate(clusters)}
    at = rows["cluster"].replace_strict(place, return_dtype=pl.Int64).to_numpy()
    kind, label = rows["kind"].to_numpy(), rows["label"].to_numpy().astype(float)
    change = (rows["y"] - rows["y_0"]).to_numpy()
    values = np.zeros((len(KINDS), 4, len(clusters)))
    for place_of, each in enumerate((np.ones_like(label), label, change, label * change)):
        np.add.at(values[:, place_of], (kind, at), each)
    return Sums(values, labelled)


def effects(scores: Mapping[str, pl.DataFrame], tasks: Mapping[str, Any], confidence: float) -> pl.DataFrame:
    """Return a row a task, measure, method and dose; alpha 0 has a level and no change.

    scores: by task. Intervals are percentiles over resamples of clusters, which all doses and methods share. p: of no
    effect, from the resamples' standard error and t with as many degrees of freedom as clusters less one. q: p
    corrected over the methods and doses of a cell, task and measure (Benjamini and Hochberg 1995). detectable: the
    effect that would have been found with a probability of `POWER`.
    """
    found = [
        _with_q(_effects(scores[name], name, task, measure, confidence))
        for name, task in tasks.items()
        for measure in measures_of(task)
    ]
    return pl.concat(found) if found else pl.DataFrame(schema=SCHEMA)


def _effects(scores: pl.DataFrame, name: str, task: Any, measure: str, confidence: float) -> pl.DataFrame:
    found: list[dict[str, Any]] = []
    every = rows_of(scores, task, measure)
    for cell, part in every.group_by(*CELL, maintain_order=True):
        sums = sums_by_dose(part, task)
        for (method, alpha), rows in part.group_by("method", "alpha", maintain_order=True):
            key = dict(zip(METHOD, (*cell, method), strict=True))
            shown = (rows["y"] * rows["label"]).to_numpy()
            row = {**key, "task": name, "measure": measure, "alpha": alpha, "n": rows["cluster"].n_unique()}
            row |= {"level": float(shown.mean()), **_answered(scores, {**key, "alpha": alpha})}
            if alpha:
                own = sums[str(method)][float(alpha)]
                row |= estimated(own.estimates(resampled(own.n_clusters)), own.n_clusters, confidence)
                row |= _flips((rows["y_0"] * rows["label"]).to_numpy(), shown, measure)
            found.append(row)
        if isinstance(task, ChoiceTask):
            _add_surgical(found, part)
    return pl.DataFrame(found, schema=SCHEMA, orient="row")


def _add_surgical(found: list[dict[str, Any]], rows: pl.DataFrame) -> None:
    """Add `si` to the rows of the table that have a dose above 0. rows: of the cell that they are of."""
    cell = rows.select(CELL).row(0)
    own = [row for row in found if tuple(row[name] for name in CELL) == cell]
    pmass = {(row["method"], row["alpha"]): row["pmass"] for row in own}
    for row in (row for row in own if row["alpha"] > 0):
        masses = {alpha: mass for (method, alpha), mass in pmass.items() if method == row["method"]}
        row["si"] = surgical_informedness(rows.filter(method=row["method"]), row["alpha"], masses)


def estimated(found: Mapping[str, np.ndarray], n: int, confidence: float) -> dict[str, float | None]:
    """Return every estimate with its interval, and of the effect p and what is detectable. found: (1 + draws,) each."""
    tail = (1 - confidence) / 2
    row: dict[str, float | None] = {}
    for name, values in found.items():
        drawn = values[1:][np.isfinite(values[1:])]
        known = bool(np.isfinite(values[0]) and drawn.size)
        low, high = np.quantile(drawn, [tail, 1 - tail]) if known else (None, None)
        row |= {name: float(values[0]) if known else None, f"{name}_low": low, f"{name}_high": high}
    drawn = found["effect"][1:][np.isfinite(found["effect"][1:])]
    error = float(drawn.std(ddof=1)) if drawn.size > 1 and n > 1 else 0.0
    if row["effect"] is None or error == 0:
        return row | {"p": None if row["effect"] is None or row["effect"] else 1.0, "detectable": None}
    row["p"] = float(2 * student_t.sf(abs(row["effect"]) / error, n - 1))
    row["detectable"] = float((student_t.ppf(1 - tail, n - 1) + norm.ppf(POWER)) * error)
    return row


def _flips(before: np.ndarray, after: np.ndarray, measure: str) -> dict[str, int | None]:
    """Return how many rows come to show the behavior, and how many cease to: those whose number crosses 0."""
    if measure in WORSE or measure in ("agreement", "passed"):
        return {"flips_for": None, "flips_against": None}
    return {
        "flips_for": int(((before < 0) & (after > 0)).sum()),
        "flips_against": int(((before > 0) & (after < 0)).sum()),
    }


def _answered(scores: pl.DataFrame, key: dict[str, Any]) -> dict[str, Any]:
    """Return mean pmass, the share answered and the share broken at one dose; None where the task has none."""
    own = scores.filter(**key)
    return {name: own.filter(metric=name)["value"].mean() for name in ("pmass", "answered", "broken")}


def _with_q(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with q, corrected within each cell of one task and measure."""

    def corrected(cell: pl.DataFrame) -> pl.DataFrame:
        p = cell["p"].to_numpy().astype(float)
        known = np.isfinite(p)
        q = np.full(len(p), np.nan)
        if known.any():
            q[known] = false_discovery_control(p[known])
        return cell.with_columns(pl.Series("q", q).fill_nan(None))

    cells = rows.partition_by(*CELL, maintain_order=True)
    return pl.concat([corrected(cell) for cell in cells]) if cells else rows


NUMBERS = (
    "level", *(f"{name}{end}" for name in ("effect", "mean_shift", "yes_shift", "order_shift") for end in
    ("", "_low", "_high")), "p", "q", "detectable", "pmass", "answered", "broken", "si",
)  # fmt: skip
SCHEMA: dict[str, type[pl.DataType]] = {
    **{"model": pl.String, "behavior": pl.String, "seed": pl.Int64, "method": pl.String},
    **{"task": pl.String, "measure": pl.String, "alpha": pl.Float64, "n": pl.Int64},
    **dict.fromkeys(NUMBERS, pl.Float64),
    **{"flips_for": pl.Int64, "flips_against": pl.Int64},
}
