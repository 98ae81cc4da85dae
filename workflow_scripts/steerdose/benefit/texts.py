"""Scores of what a method wrote on the prompts of a task, by a program; broken texts are told from sound ones first."""

from typing import Any

import numpy as np
import polars as pl

from steerdose.benefit.scorers import SCORERS, check_items
from steerdose.columns import COHORT, KEYS, Cell
from steerdose.declarations.passed import SCORES, WRITTEN, WRITTEN_TOKENS
from steerdose.files import read_json, sequences, write_table
from steerdose.outcomes.gather import own_rows
from steerdose.outcomes.tasks.rows import TYPES
from steerdose.study.items import load_items
from steerdose.study.settings import ScoreTexts
from steerdose.study.tasks import measures_of
from steerdose.survival.endpoints import Course, Limits, broken_text


def score_texts(
    *,
    texts: list[str],
    tokens: list[str],
    bands: str,
    cell: Cell,
    task: str,
    settings: ScoreTexts,
    scores: str,
) -> None:
    """Write the value of every text, and whether it is broken. A broken one has no valence, and passes nothing."""
    asked = load_items(settings.task)
    if settings.task.scorer == "checks":
        check_items(asked, settings.task.data)
    limits = {}
    if settings.endpoint:
        limits = read_json(bands)[settings.endpoint[0]]["bands"]
    written = own_rows(texts, WRITTEN, cell.method)
    courses = sequences(own_rows(tokens, WRITTEN_TOKENS, cell.method), "token_id", "nll")
    rows = written.join(courses, on=KEYS, how="left", nulls_equal=True, maintain_order="left")
    by_id, found = {item["id"]: item for item in asked}, []
    for row in rows.iter_rows(named=True):
        broken = is_broken(row, settings, limits)
        value = SCORERS[settings.task.scorer](row["text"], by_id[row["prompt_id"]])
        values = {measures_of(settings.task)[0]: _kept(value, broken, settings), "broken": float(broken)}
        place = row["prompt_id"]
        found += [
            (*(row[name] for name in COHORT), place, place, "", None, metric, value) for metric, value in values.items()
        ]
    keys: dict[str, Any] = {name: written.schema[name] for name in COHORT}
    table = pl.DataFrame(found, schema={**keys, **TYPES}, orient="row")
    write_table(table.with_columns(task=pl.lit(task)), scores, SCORES)


def _kept(value: float, broken: bool, settings: ScoreTexts) -> float | None:
    if not broken:
        return value
    return 0.0 if settings.task.scorer == "checks" else None


def is_broken(row: dict[str, Any], settings: ScoreTexts, bands: dict[str, float]) -> bool:
    """Whether a text has no token, or leaves what the unsteered model writes, as the study's endpoint `text` says."""
    if not row["n_tokens"] or settings.endpoint is None:
        return not row["n_tokens"]
    course = Course(np.array(row["token_id"]), np.array(row["nll"]), np.empty(0), {})
    return bool(broken_text(course, settings.endpoint[1], Limits(bands, {}, "mean", None)))
