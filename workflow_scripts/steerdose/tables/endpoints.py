"""The tables of endpoints: what each calls death of the same trajectories, at which dose, and how far they agree."""

import polars as pl

from steerdose.declarations.dose import DOSES
from steerdose.declarations.endpoints import AGREEMENT, ENDPOINT_DOSES
from steerdose.declarations.passed import CURVE as CURVES
from steerdose.declarations.passed import LIFETIMES
from steerdose.files import read_tables, write_csv
from steerdose.study.published import TabulateDoseResponse
from steerdose.survival.agreement import agreement
from steerdose.survival.dose_response import CURVE, dose_response
from steerdose.tables.dose_response import dose_texts
from steerdose.tables.publish import write_html


def tabulate_endpoints(
    *,
    lifetimes: list[str],
    curves: list[str],
    doses: list[str],
    settings: TabulateDoseResponse,
    caption: str,
    agreement_caption: str,
    csv: str,
    html: str,
    agreement_csv: str,
    agreement_html: str,
) -> None:
    """Write lethal and safe doses by every endpoint, and the agreement of each two of them."""
    lives, drawn = read_tables(lifetimes, LIFETIMES), read_tables(curves, CURVES)
    calibrated = read_tables(doses, DOSES)
    found = pl.concat(
        dose_response(
            drawn.filter(endpoint=name),
            lives.filter(endpoint=name),
            calibrated,
            confidence=settings.confidence,
            safe_level=settings.safe_level,
        )[1].with_columns(endpoint=pl.lit(name))
        for name in lives["endpoint"].unique(maintain_order=True)
    )
    agree = agreement(lives, settings.confidence)
    write_csv(found, csv, ENDPOINT_DOSES)
    names = (*CURVE, "endpoint")
    texts = dose_texts(found).with_columns(endpoint=found["endpoint"]).select(*names, pl.exclude(names))
    write_html(texts, html, ENDPOINT_DOSES, caption, n_names=6)
    write_csv(agree, agreement_csv, AGREEMENT)
    write_html(agree, agreement_html, AGREEMENT, agreement_caption, n_names=6)
