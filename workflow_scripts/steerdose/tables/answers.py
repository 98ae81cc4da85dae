"""The table of answers: what the steered model says to the probes at every dose, and how much of it is right."""

from collections.abc import Mapping

import polars as pl

from steerdose.columns import METHOD
from steerdose.declarations.passed import FORKS
from steerdose.declarations.relevance import ANSWERS
from steerdose.files import read_tables, write_csv
from steerdose.outcomes.shares import share_interval
from steerdose.study.probes import truths_of
from steerdose.study.published import TabulateAnswers
from steerdose.study.texts import load_questions
from steerdose.tables.publish import write_html


def tabulate_answers(
    *, forks: list[str], questions: str, settings: TabulateAnswers, caption: str, csv: str, html: str
) -> None:
    """Write how often each rolled-out probe is answered, and answered right, by method and dose."""
    asked = load_questions(questions)
    truths = {name: truths_of(kind, asked) for name, kind in settings.kinds.items()}
    found = answers_table(read_tables(forks, FORKS).filter(reading="steered"), truths, settings.confidence)
    write_csv(found, csv, ANSWERS)
    write_html(found, html, ANSWERS, caption, n_names=5)


def answers_table(forks: pl.DataFrame, truths: Mapping[str, Mapping[str, bool]], confidence: float) -> pl.DataFrame:
    """Return a row a method, alpha and probe. forks: read by the steered model. truths: by probe and prompt."""
    rows = []
    for keys, part in forks.group_by(*METHOD, "alpha", "probe", maintain_order=True):
        truth = part["prompt_id"].replace_strict(truths[str(keys[-1])], return_dtype=pl.Boolean)
        right = ((part["p_first"] > 0.5) == truth).to_numpy()
        low, high = share_interval(right, part["prompt_id"].to_numpy(), confidence)
        place = dict(zip((*METHOD, "alpha", "probe"), keys, strict=True))
        place |= {"n": part.select("prompt_id", "sample").n_unique()}
        said = {"answered": part["is_answer"].mean(), "pmass": part["pmass"].median()}
        rows.append({**place, **said, "right": float(right.mean()), "right_low": low, "right_high": high})
    order = (*METHOD, "alpha", "n", "probe", "answered", "pmass", "right", "right_low", "right_high")
    return pl.DataFrame(rows, infer_schema_length=None).select(order)
