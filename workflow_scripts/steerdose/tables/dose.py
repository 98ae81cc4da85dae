"""The table that a user came for: which dose of which method, what it buys, what it costs."""

from typing import Any

import polars as pl

from steerdose.benefit.effects import rows_of, sums_by_dose
from steerdose.benefit.recommendation import CellData, damage_name, effect_lines, recommendations
from steerdose.benefit.sentences import sentence
from steerdose.benefit.specificity import kl_of
from steerdose.columns import CELL, deciding
from steerdose.declarations.benefit import EFFECT_CURVES, EFFECTS, RECOMMENDED
from steerdose.declarations.methods import DELIVERED_KL
from steerdose.declarations.passed import DOSE_SHARES, LIFETIMES
from steerdose.declarations.survival import DOSE_RESPONSE
from steerdose.files import read_table, read_tables, write_csv, write_table
from steerdose.study.published import TabulateDose
from steerdose.survival.dose_response import lethal_doses
from steerdose.survival.lethal_dose import CURVE
from steerdose.tables.effects import by_task
from steerdose.tables.publish import write_html


def tabulate_dose(
    *,
    scores: list[str],
    effects: str,
    lifetimes: list[str],
    lethal: str,
    shares: str,
    delivered: str,
    settings: TabulateDose,
    caption: str,
    curves: str,
    table: str,
    csv: str,
    html: str,
) -> None:
    """Write the recommended dose of every method and sign, and the curves that it comes from."""
    given, found, lines = by_task(scores), [], []
    dead = read_table(shares, DOSE_SHARES)
    brackets = lethal_doses(dead, 0.0).select(*CURVE, "bracket_low", "bracket_high")  # whatever counts as safe
    tables = {
        "effects": read_table(effects, EFFECTS),
        "lives": read_tables(lifetimes, LIFETIMES).filter(deciding()),
        "lethal": read_table(lethal, DOSE_RESPONSE).join(brackets, on=CURVE, how="left", maintain_order="left"),
        "shares": dead,
    }
    for cell in tables["lethal"].select(CELL).unique(maintain_order=True).iter_rows(named=True):
        benefit = settings.effects.get(cell["behavior"])
        rows = rows_of(given[benefit[0]].filter(**cell), settings.tasks[benefit[0]], benefit[1]) if benefit else None
        data = CellData(
            sums={} if rows is None or benefit is None else sums_by_dose(rows, settings.tasks[benefit[0]]),
            benefit=benefit or ("", ""),
            kl=kl_of(read_table(delivered, DELIVERED_KL), cell),
            controls=settings.controls,
            prompts=settings.prompts,
            **{name: frame.filter(**cell) for name, frame in tables.items()},
        )
        found += [cell | row for row in recommendations(data, settings.damages, settings.confidence)]
        lines += [cell | {"benefit": ".".join(data.benefit)} | row for row in effect_lines(data, settings.confidence)]
    write_table(_frame(lines, EFFECT_CURVES.columns, ()), curves, EFFECT_CURVES)
    damages = [damage_name(each) for each in settings.damages]
    told = [row | {"sentence": sentence(row, damages, settings.confidence)} for row in found]
    doses = _frame(told, RECOMMENDED.columns, damages)
    write_table(doses, table, RECOMMENDED)
    write_csv(doses, csv, RECOMMENDED)
    write_html(shown(doses, damages), html, RECOMMENDED, caption, n_names=5)


def _frame(rows: list[dict[str, Any]], declared: Any, damages: Any) -> pl.DataFrame:
    """Return rows as the declared columns, in their order; of the pattern of damages those that there are."""
    types: dict[str, Any] = {}
    for each in declared:
        several = [f"{name}{end}" for name in damages for end in ("", "_low", "_high")]
        kind = pl.String if each.kind == "text" else pl.Float64
        types |= dict.fromkeys(several if each.is_pattern else [each.name], kind)
    return pl.DataFrame(rows, schema=types | {"seed": pl.Int64}).select(list(types))


def shown(doses: pl.DataFrame, damages: list[str]) -> pl.DataFrame:
    """Return the table as readers see it, estimates with their intervals in one field."""
    rows = []
    for row in doses.iter_rows(named=True):
        rows.append(
            {
                **{name: row[name] for name in ("model", "behavior", "seed", "method", "sign", "verdict")},
                **{name: row[name] for name in ("alpha", "coefficient")},
                "effect": _interval(row, "effect"),
                "held out": row["effect_heldout"],
                "broken": "" if row["dead"] is None else f"{row['dead']:.2f} (to {row['dead_high']:.2f})",
                "index": _interval(row, "index"),
                "margin": row["margin"],
                **{name.removeprefix("change_"): _interval(row, name) for name in damages},
                "random": _interval(row, "share"),
                "over prompt": _interval(row, "over_prompt"),
                "sentence": row["sentence"],
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def _interval(row: dict[str, Any], name: str) -> str:
    low, high = (row[f"{name}_{end}"] for end in ("low", "high"))
    if row[name] is None and low is None:
        return ""
    value = "" if row[name] is None else f"{row[name]:.3g} "
    return f"{value}[{'open' if low is None else f'{low:.3g}'}, {'open' if high is None else f'{high:.3g}'}]"
