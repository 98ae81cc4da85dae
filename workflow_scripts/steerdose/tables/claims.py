"""The table of what a study may claim."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from steerdose.benefit.claims import ORDER, between_models, claims
from steerdose.declarations.benefit import CLAIMS, CONTRASTS
from steerdose.files import read_table, typed, write_csv
from steerdose.study.published import TabulateClaims
from steerdose.tables.publish import write_html

PLACE = ("model", "behavior", "sign")


def tabulate_claims(*, contrasts: str, settings: TabulateClaims, caption: str, csv: str, html: str) -> None:
    """Write what the study may claim."""
    frame = typed(list(_claims(read_table(contrasts, CONTRASTS), settings)), CLAIMS)
    write_csv(frame, csv, CLAIMS)
    write_html(frame, html, CLAIMS, caption, n_names=5)


def _claims(found: pl.DataFrame, settings: TabulateClaims) -> Iterator[dict[str, Any]]:
    orders: dict[tuple[Any, ...], dict[str, str]] = {}
    for place, part in found.group_by(*PLACE, maintain_order=True):
        for claim in claims(part.to_dicts(), settings.groups, 1 - settings.confidence):
            yield {**dict(zip(PLACE, place, strict=True)), **claim}
            if claim["rule"] == ORDER:
                orders.setdefault(place[1:], {})[str(place[0])] = claim["verdict"]
    for (behavior, sign), by_model in orders.items():
        yield from ({"model": "", "behavior": behavior, "sign": sign, **claim} for claim in between_models(by_model))
