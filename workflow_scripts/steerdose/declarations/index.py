"""All declared tables by name.

Files are checked against them, docs and captions are made of them; no value depends on them, so that rules do not rerun
when a wording changes. `passed` holds the tables that pass between rules, the other modules those that a study ends in,
as csv and html (and parquet, where a figure reads them).
"""

from steerdose.declarations import (
    ablations,
    benefit,
    cost,
    deaths,
    endpoints,
    methods,
    passed,
    ranking,
    relevance,
    subspaces,
    survival,
)
from steerdose.declarations.base import Table

PUBLISHED = tuple(
    each
    for module in (benefit, ablations, subspaces, survival, endpoints, ranking, relevance, deaths, methods, cost)
    for each in vars(module).values()
    if isinstance(each, Table) and each.title
)
TABLES: dict[str, Table] = {table.name: table for table in (*passed.PASSED, *PUBLISHED)}
