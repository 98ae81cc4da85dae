"""Every table that is written, declared: what a row is, and type, unit and meaning of each column.

Files are checked against it, docs and captions are made of it; no value depends on it, so that rules do not rerun when
a wording changes. `passed` holds the tables that pass between rules, the other modules those that a study ends in, as
csv and html (and parquet, where a figure reads them).
"""

from steerdose.declarations import deaths, methods, passed, scores, survival
from steerdose.declarations.base import Table

PUBLISHED = tuple(
    each for module in (survival, deaths, scores, methods) for each in vars(module).values() if isinstance(each, Table)
)
TABLES: dict[str, Table] = {table.name: table for table in (*passed.PASSED, *PUBLISHED)}
