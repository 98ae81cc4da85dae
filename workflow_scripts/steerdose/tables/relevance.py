"""The table of relevance: how many texts of each dose are about nothing."""

import math
from collections.abc import Mapping

import numpy as np
import polars as pl

from steerdose.columns import METHOD
from steerdose.declarations.relevance import IRRELEVANCE, REFERENCE_RELEVANCE, RELEVANCE
from steerdose.errors import SteerdoseError
from steerdose.files import read_table, read_tables, write_csv, write_table
from steerdose.outcomes.shares import share_interval
from steerdose.study.endpoints import Relevance
from steerdose.study.published import TabulateRelevance
from steerdose.tables.publish import write_html


def tabulate_relevance(
    *,
    relevance: list[str],
    references: list[str],
    settings: TabulateRelevance,
    caption: str,
    table: str,
    csv: str,
    html: str,
) -> None:
    """Write the share of irrelevant texts of every method and dose. references: a file a model."""
    frames = [read_table(path, REFERENCE_RELEVANCE) for path in references]
    limits = {frame["model"][0]: lowest_gain(frame, settings.relevance) for frame in frames}
    texts = read_tables(relevance, RELEVANCE).filter(pl.col("n_tokens") >= settings.relevance.fewest)
    found = irrelevance(texts, limits, settings.confidence)
    write_table(found, table, IRRELEVANCE)
    write_csv(found, csv, IRRELEVANCE)
    write_html(found, html, IRRELEVANCE, caption, n_names=5)


def lowest_gain(reference: pl.DataFrame, options: Relevance) -> float:
    """Return the gain below which a text counts as irrelevant: what at most `size` of reference texts are under.

    Of n exchangeable texts the next one is below the k-th smallest with a probability of at most k / (n + 1), as for
    `bands_of`. Texts of fewer than `fewest` tokens have no verdict.
    """
    values = np.sort(reference.filter(pl.col("n_tokens") >= options.fewest)["gain"].to_numpy())
    k = math.floor((len(values) + 1) * options.size)
    if not k:
        raise SteerdoseError(
            f"{len(values)} texts of the unsteered model with {options.fewest} tokens are too few for a verdict that "
            f"at most {options.size:g} of them get: raise reference.n_questions, or relevance.size"
        )
    return float(values[k - 1])


def irrelevance(texts: pl.DataFrame, limits: Mapping[str, float], confidence: float) -> pl.DataFrame:
    """Return a row a method and alpha. texts: keys, gain. limits: by model, nats a token."""
    rows = []
    for keys, part in texts.group_by(*METHOD, "alpha", maintain_order=True):
        limit = limits[str(keys[0])]
        marks = (part["gain"] < limit).to_numpy()
        low, high = share_interval(marks, part["prompt_id"].to_numpy(), confidence)
        place = dict(zip((*METHOD, "alpha"), keys, strict=True)) | {"n": part.height}
        share = {"irrelevant": float(marks.mean()), "irrelevant_low": low, "irrelevant_high": high}
        rows.append({**place, **share, "gain": float(np.median(part["gain"])), "limit": limit})
    types = {name: texts.schema[name] for name in (*METHOD, "alpha")} | {"n": pl.Int64}
    numbers = ("irrelevant", "irrelevant_low", "irrelevant_high", "gain", "limit")
    return pl.DataFrame(rows, schema={**types, **dict.fromkeys(numbers, pl.Float64)})
