"""The table of what methods buy beside each other."""

from typing import Any

import polars as pl

from steerdose.benefit.contrasts import bought, contrasts
from steerdose.benefit.effects import rows_of, sums_by_dose
from steerdose.columns import SIGNS
from steerdose.declarations.benefit import CONTRASTS, RECOMMENDED
from steerdose.files import read_table, typed, write_csv, write_table
from steerdose.study.published import TabulateContrasts
from steerdose.tables.effects import by_task
from steerdose.tables.publish import write_html


def tabulate_contrasts(
    *, scores: list[str], doses: str, settings: TabulateContrasts, caption: str, table: str, csv: str, html: str
) -> None:
    """Write what every method buys over all seeds, and the differences of every pair that is compared."""
    given, chosen, rows = by_task(scores), read_table(doses, RECOMMENDED), []
    for behavior, (task, measure) in settings.effects.items():
        options = settings.tasks[task]
        own = rows_of(given[task].filter(behavior=behavior), options, measure)
        for (model,), part in own.group_by("model", maintain_order=True):
            seeds = part["seed"].unique(maintain_order=True).to_list()
            cells = [sums_by_dose(part.filter(seed=seed), options) for seed in seeds]
            for sign in chosen.filter(model=model, behavior=behavior)["sign"].unique(maintain_order=True):
                place = {"model": model, "behavior": behavior, "sign": sign}
                alphas = [_alphas(chosen.filter(seed=seed, **place), sign, cells[0]) for seed in seeds]
                found = contrasts(bought(cells, alphas, sign), settings.comparisons, settings.confidence)
                rows += [place | {"benefit": f"{task}.{measure}"} | row for row in found]
    frame = typed(rows, CONTRASTS)
    write_table(frame, table, CONTRASTS)
    write_csv(frame, csv, CONTRASTS)
    write_html(frame, html, CONTRASTS, caption, n_names=6)


def _alphas(doses: pl.DataFrame, sign: str, methods: Any) -> dict[str, float]:
    """Return the alpha of every method in one cell: the recommended one, or a prompt's, which has no row of its own."""
    dosed = dict(doses.select("method", "alpha").iter_rows())
    prompts = {name: SIGNS[sign] for name in methods if name not in dosed}
    return prompts | {name: alpha for name, alpha in dosed.items() if alpha is not None}
