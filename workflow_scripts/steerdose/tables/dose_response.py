"""The table of doses: lethal dose, steepness and safe dose of every method and sign."""

import polars as pl


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
