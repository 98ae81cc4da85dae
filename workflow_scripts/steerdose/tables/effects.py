"""The tables of effects and of their specificity."""

import polars as pl

from steerdose.benefit.effects import effects, rows_of, sums_by_dose
from steerdose.benefit.specificity import kl_of, specificity
from steerdose.columns import CELL
from steerdose.declarations.benefit import EFFECTS, SPECIFICITY
from steerdose.declarations.methods import DELIVERED_KL
from steerdose.declarations.passed import SCORES
from steerdose.files import read_table, read_tables, typed, write_csv, write_table
from steerdose.study.published import TabulateEffects, TabulateSpecificity
from steerdose.study.tasks import measures_of
from steerdose.tables.publish import write_html


def tabulate_effects(
    *, scores: list[str], settings: TabulateEffects, caption: str, table: str, csv: str, html: str
) -> None:
    """Write what every dose of every method changes on every task."""
    order = [each.name for each in EFFECTS.columns]
    found = effects(by_task(scores), settings.tasks, settings.confidence).select(order)
    write_table(found, table, EFFECTS)
    write_csv(found, csv, EFFECTS)
    write_html(found, html, EFFECTS, caption, n_names=7)


def tabulate_specificity(
    *, scores: list[str], delivered: str, settings: TabulateSpecificity, caption: str, csv: str, html: str
) -> None:
    """Write how much of every effect a random push of the same KL has too."""
    given, rows = by_task(scores), []
    for task, options in settings.tasks.items():
        for measure in measures_of(options):
            for cell, part in rows_of(given[task], options, measure).group_by(*CELL, maintain_order=True):
                key = dict(zip(CELL, cell, strict=True))
                kl = kl_of(read_table(delivered, DELIVERED_KL), key)
                found = specificity(sums_by_dose(part, options), settings.controls, kl, settings.confidence)
                rows += [key | {"task": task, "measure": measure} | row for row in found]
    table = typed(rows, SPECIFICITY)
    write_csv(table, csv, SPECIFICITY)
    write_html(table, html, SPECIFICITY, caption, n_names=8)


def by_task(scores: list[str]) -> dict[str, pl.DataFrame]:
    """Return the scores of each task. scores: a file a method and task; none where the study asks no task."""
    if not scores:
        return {}
    every = read_tables(scores, SCORES)
    return {str(task): part.drop("task") for (task,), part in every.group_by("task", maintain_order=True)}
