"""The table of knowledge: what is left at every dose of what the model knows of yes/no claims."""

import numpy as np
import polars as pl
from scipy.stats import t as student_t

from steerdose.columns import METHOD
from steerdose.declarations.passed import SCORES
from steerdose.declarations.scores import KNOWLEDGE
from steerdose.files import read_tables, write_csv
from steerdose.study.published import TabulateKnowledge
from steerdose.tables.publish import write_html

CHANGES = ("discrimination", "yes_bias")


def tabulate_knowledge(*, scores: list[str], settings: TabulateKnowledge, caption: str, csv: str, html: str) -> None:
    """Write what every method and dose leaves of the knowledge of claims."""
    table = knowledge_table(read_tables(scores, SCORES), settings.confidence)
    write_csv(table, csv, KNOWLEDGE)
    write_html(table, html, KNOWLEDGE, caption)


def knowledge_table(scores: pl.DataFrame, confidence: float) -> pl.DataFrame:
    """Return a row a method and dose: n, means of the metrics, and mean paired changes against alpha 0.

    scores: keys, item, metric, value (nats; of correct and pmass shares), with alpha 0 of every method. Changes have a
    t interval over claims. n counts the claims whose logits were finite.
    """
    wide = scores.pivot("metric", index=[*METHOD, "alpha", "item"], values="value", maintain_order=True).drop_nulls()
    base = wide.filter(alpha=0.0).select(*METHOD, "item", *[pl.col(name).alias(f"{name}_0") for name in CHANGES])
    paired = wide.join(base, on=[*METHOD, "item"], how="left", maintain_order="left")
    rows = []
    for key, dose in paired.group_by(*METHOD, "alpha", maintain_order=True):
        means = {"accuracy": dose["correct"].mean(), **{name: dose[name].mean() for name in (*CHANGES, "pmass")}}
        changes: dict[str, float | None] = {}
        for name in CHANGES:
            changes |= _change(name, (dose[name] - dose[f"{name}_0"]).drop_nulls().to_numpy(), confidence)
        rows.append({**dict(zip((*METHOD, "alpha"), key, strict=True)), "n": dose.height, **means, **changes})
    return pl.DataFrame(rows, infer_schema_length=None)


def _change(name: str, differences: np.ndarray, confidence: float) -> dict[str, float | None]:
    """Return the mean of paired differences with its t interval; null where there are under two."""
    names = (f"{name}_change", f"{name}_change_low", f"{name}_change_high")
    if len(differences) < 2:
        return dict.fromkeys(names)
    mean, error = float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(len(differences)))
    half = float(student_t.ppf((1 + confidence) / 2, len(differences) - 1)) * error
    return dict(zip(names, (mean, mean - half, mean + half), strict=True))
