"""A method's calibration: the search of its dose, and the audit of that dose over all parts of the prompts."""

import logging
from typing import Any

import polars as pl

from steerdose.columns import SIGNS, Cell
from steerdose.declarations.dose import AUDIT_TOKENS, CALIBRATION, SEARCH
from steerdose.dose.kl_statistics import STATISTICS, evaluations, kl_statistics
from steerdose.files import read_json, read_table, read_tables, write_json, write_table
from steerdose.study.settings import GatherCalibration

log = logging.getLogger(__name__)


def audit_statistics(tokens: pl.DataFrame) -> dict[str, Any]:
    """Return the statistics of the audited tokens; null where logits overflowed, or every answer was empty."""
    kl = tokens["kl"]
    if kl.is_empty() or kl.null_count():
        return dict.fromkeys((*STATISTICS, "n_tokens"))
    return kl_statistics(kl.to_numpy())


def gather_calibration(
    *, search: list[str], audits: list[str], cell: Cell, settings: GatherCalibration, table: str, summary: str
) -> None:
    """Write calibration/{method}.parquet, one row an evaluation, and calibration/{method}.json.

    Null statistics: steered logits overflow, or every rollout is empty. `audit` is null for the same reasons.
    """
    own = pl.col("method") == cell.method
    steps, tokens = read_table(search[0], SEARCH).filter(own), read_tables(audits, AUDIT_TOKENS).filter(own)
    report, rows = read_json(search[1])[cell.method], []
    for sign in SIGNS:
        mine = steps.filter(sign=sign)
        rows += mine.drop("target", *[column for column in cell.names if column in mine.columns]).to_dicts()
        c_star, found = report[sign]["c_star"], audit_statistics(tokens.filter(sign=sign))
        coefficient = None if c_star is None else SIGNS[sign] * c_star
        rows.append({"coefficient": coefficient, "sign": sign, "split": "audit", "step": 1, **found})
        report[sign]["audit"] = found[settings.statistic]
        log.info("audit %s: %s %s", sign, settings.statistic, found[settings.statistic])
    targets = {sign: report[sign]["target"] for sign in SIGNS}
    write_table(evaluations(rows, targets, cell), table, CALIBRATION)
    write_json(report, summary)
