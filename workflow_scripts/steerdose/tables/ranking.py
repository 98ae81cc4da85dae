"""The table of the order of methods: in groups that hold, by dose and by delivered KL."""

import polars as pl

from steerdose.columns import KEYS, deciding
from steerdose.declarations.dose import DOSES
from steerdose.declarations.passed import LIFETIMES
from steerdose.declarations.ranking import RANKING
from steerdose.dose.kl_statistics import STATISTICS, statistics_along
from steerdose.files import read_tables, write_csv
from steerdose.study.published import TabulateRanking
from steerdose.survival.ranking import ranking
from steerdose.tables.aggregation import read_histories
from steerdose.tables.publish import write_html

P95 = STATISTICS.index("p95")


def tabulate_ranking(
    *, lifetimes: list[str], tokens: list[str], doses: list[str], settings: TabulateRanking, caption: str, csv: str,
    html: str,
) -> None:  # fmt: skip
    """Write which methods bear more than others, as far as that holds."""
    lives = read_tables(lifetimes, LIFETIMES).filter(deciding())
    found = ranking(lives, p95_of(read_histories(tokens)), read_tables(doses, DOSES), settings.confidence)
    write_csv(found, csv, RANKING)
    write_html(found, html, RANKING, caption, n_names=5)


def p95_of(histories: pl.DataFrame) -> pl.DataFrame:
    """Return keys and p95 (nats) of each trajectory; null without a token. histories: keys, and kl as lists."""
    found = [float(statistics_along(kl)[P95]) if len(kl) else None for kl in histories["kl"].to_numpy()]
    return histories.select(*KEYS, pl.Series("p95", found, pl.Float64))
