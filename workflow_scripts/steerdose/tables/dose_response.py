"""The table of doses: lethal dose, steepness and safe dose of every method and sign."""

import polars as pl

from steerdose.columns import deciding
from steerdose.declarations.dose import DOSES
from steerdose.declarations.passed import CURVE as CURVES
from steerdose.declarations.passed import DOSE_SHARES, LIFETIMES
from steerdose.declarations.survival import DOSE_RESPONSE
from steerdose.files import read_tables, write_csv, write_table
from steerdose.study.published import TabulateDoseResponse
from steerdose.survival.dose_response import CURVE, dose_response, dose_text
from steerdose.tables.publish import write_html


def tabulate_dose_response(
    *,
    curves: list[str],
    lifetimes: list[str],
    doses: list[str],
    settings: TabulateDoseResponse,
    caption: str,
    shares: str,
    table: str,
    csv: str,
    html: str,
) -> None:
    """Write who is dead by the window at which dose, and lethal dose, steepness and safe dose."""
    dead, found = dose_response(
        read_tables(curves, CURVES).filter(deciding()),
        read_tables(lifetimes, LIFETIMES).filter(deciding()),
        read_tables(doses, DOSES),
        confidence=settings.confidence,
        safe_level=settings.safe_level,
    )
    write_table(dead, shares, DOSE_SHARES)
    write_table(found, table, DOSE_RESPONSE)
    write_csv(found, csv, DOSE_RESPONSE)
    write_html(dose_texts(found), html, DOSE_RESPONSE, caption, n_names=5)


def dose_texts(table: pl.DataFrame) -> pl.DataFrame:
    """Return the table of `dose_response` as readers see it: bounds in words, doses and shares with three digits."""
    texts = [
        {
            **{name: row[name] for name in CURVE},
            "n": row["n_prompts"],
            "LD50": dose_text(row),
            "interval": f"[{_or(row['ld50_low'], 'open')}, {_or(row['ld50_high'], 'open')}]",
            "slope": _or(row["slope"], ""),
            "safe dose": _or(row["safe_dose"], "none"),
            "dead at 1": _or(row["dead_at_1"], ""),
            "LD50 coefficient": _or(row["ld50_coefficient"], ""),
            "note": row["note"],
        }
        for row in table.iter_rows(named=True)
    ]
    return pl.DataFrame(texts, schema=None if texts else dict.fromkeys(CURVE, pl.String))


def _or(value: float | None, missing: str) -> str:
    return missing if value is None else f"{value:.3g}"
