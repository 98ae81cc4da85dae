"""Files between rules: tables are checked when they are written and read, and writes are all or nothing."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import fill
from steerdose.declarations.base import Table, columns
from steerdose.errors import SteerdoseError
from steerdose.files import read_table, read_tables, replacing, write_csv, write_table

TABLE = Table(
    "scores", rule="score_things", path="scores.parquet", row="a score",
    columns=columns("""
    prompt_id | text | | p
    alpha | number | dose | a
    n | integer | | n
    died | boolean | | d
    same_{probe} | number | | s
    """),
)  # fmt: skip
FRAME = pl.DataFrame({"n": [1], "same_a": [0.5], "prompt_id": ["p"], "died": [True], "alpha": [1.0], "same_b": [None]})
REMEDY = r"rerun score_things \(--forcerun score_things\)"


@pytest.fixture(params=["written", "read"])
def passing(request, tmp_path):
    """Pass a frame to the next rule: checked where it is written, or where it is read."""

    def run(frame, wanted=None):
        path = tmp_path / "scores.parquet"
        if request.param == "written":
            write_table(frame, path, TABLE)
            return pl.read_parquet(path, columns=wanted)
        frame.write_parquet(path)
        return read_table(path, TABLE, wanted)

    return run


def test_keys_come_first_and_columns_of_a_pattern_may_be_none_or_many(tmp_path):
    write_table(FRAME, tmp_path / "a.parquet", TABLE)
    write_table(FRAME.drop("same_a", "same_b"), tmp_path / "b.parquet", TABLE)
    assert read_table(tmp_path / "a.parquet", TABLE).columns == ["alpha", "prompt_id", "n", "same_a", "died", "same_b"]
    both = [str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]
    assert read_tables(both, TABLE, ["n", "died"]).rows() == [(1, True)] * 2


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.drop("died"), rf"scores\.parquet: the table scores lacks the column 'died', found .*; {REMEDY}"),
        (
            FRAME.with_columns(x=1),
            rf"scores\.parquet: column 'x' is not declared for the table scores; .*{REMEDY[:18]}",
        ),
        (
            FRAME.with_columns(n=pl.lit("1")),
            f"expected integer in the column 'n' of the table scores, found String; {REMEDY}",
        ),
        (FRAME.with_columns(pl.col("alpha").cast(pl.Int64)), "expected number in the column 'alpha'.*found Int64"),
        (FRAME.with_columns(pl.col("n").cast(pl.Float32)), "expected integer in the column 'n'.*found Float32"),
        (FRAME.with_columns(died=pl.lit("yes")), "expected boolean in the column 'died'.*found String"),
        (FRAME.with_columns(same_a=pl.lit("yes")), "expected number in the column 'same_a'.*found String"),
    ],
)
def test_columns_that_are_not_as_declared_are_refused(passing, frame, message):
    with pytest.raises(SteerdoseError, match=message):
        passing(frame)


def test_a_column_without_any_value_fits_every_type(passing):
    assert passing(FRAME.with_columns(died=None))["died"].to_list() == [None]


def test_only_what_is_asked_for_is_checked(tmp_path):
    FRAME.with_columns(died=pl.lit("yes")).drop("alpha").write_parquet(tmp_path / "s.parquet")
    assert read_table(tmp_path / "s.parquet", TABLE, ["n", "same_a"]).rows() == [(1, 0.5)]
    with pytest.raises(SteerdoseError, match="lacks the column 'alpha'"):
        read_table(tmp_path / "s.parquet", TABLE, ["n", "alpha"])


def test_csv_is_checked_and_reads_back(tmp_path):
    write_csv(FRAME, tmp_path / "s.csv", TABLE)
    assert pl.read_csv(tmp_path / "s.csv", schema=FRAME.schema | {"same_b": pl.Float64}).rows() == FRAME.rows()
    with pytest.raises(SteerdoseError, match="lacks the column 'n'"):
        write_csv(FRAME.drop("n"), tmp_path / "t.csv", TABLE)
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.parametrize("old", ["file", "folder", None])
@pytest.mark.parametrize("fails", [True, False])
def test_replacing_is_all_or_nothing(tmp_path, old, fails):
    path = tmp_path / "made/result.txt"
    if old:
        path.parent.mkdir()
        content = path
        if old == "folder":
            path.mkdir()
            content = path / "inner.txt"
        content.write_text("old")
    try:
        with replacing(path) as temporary:
            assert (temporary.suffix, temporary.parent.parent) == (path.suffix, path.parent)
            temporary.write_text("new")
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert [found.name for found in path.parent.iterdir()] == (["result.txt"] if old or not fails else [])
    if not fails:
        assert path.read_text() == "new"
    elif old:
        assert content.read_text() == "old"


def test_a_full_disk_is_told_whatever_the_writer_says(small_disk):
    """Polars says "File out of specification: Invalid thrift" where its last bytes find no room."""
    frame, path = pl.concat([FRAME] * 100_000).with_columns(alpha=np.arange(100_000.0)), small_disk / "scores.parquet"
    write_table(frame, path, TABLE)
    before = path.read_bytes()
    for room in (0, 4096, len(before) // 2, len(before) - 1):
        full = fill(small_disk, room)
        for write in (write_table, write_csv):
            with pytest.raises(SteerdoseError, match=r"^No space left on device: make room for .*scores\.parquet and"):
                write(frame, path, TABLE)
        full.unlink()
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="a bug"), replacing(path):
        raise ValueError("a bug")


def test_replacing_takes_folders(tmp_path):
    for text in ("first", "second"):
        with replacing(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / text).write_text(text)
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*")] == [Path("folder"), Path("folder/second")]
