"""The table of subspaces: seeds beside their mean, and bounds of held-out prompts."""

import polars as pl
import pytest
from steerdose.declarations.subspaces import SUBSPACE_PROMPTS, SUBSPACE_SUMMARY, SUBSPACES
from steerdose.files import read_table, typed, write_table
from steerdose.study.published import TabulateSubspaces
from steerdose.tables.subspaces import tabulate_subspaces

R = {0: (4.0, 2.0), 1: (8.0, 1.0)}  # by seed: of `write` and `kv_super`


@pytest.fixture
def files(tmp_path):
    paths = {"summary": [], "prompts": []}
    for seed, values in R.items():
        place = {"model": "m", "behavior": "b", "seed": seed, "method": "lora"}
        rows, prompts = [], []
        for name, value in zip(("write", "kv_super"), values, strict=True):
            for target in ("stream", "down"):
                row = {**place, "subspace": name, "family": "f", "axis": "write", "target": target, "width": 8}
                rows.append(row | {"blocks": 3, "recovery": value, "best": 60.0, "excess": 0.1, "chance_sd": 0.3,
                                   "z": 3.0, "p": 0.01, "q": 0.02})  # fmt: skip
            around = (value - 0.5, value, value + 0.5)
            prompts += [
                {**place, "subspace": name, "width": 8, "prompt": i, "recovery": r} for i, r in enumerate(around)
            ]
        for what, table, own in (("summary", SUBSPACE_SUMMARY, rows), ("prompts", SUBSPACE_PROMPTS, prompts)):
            path = str(tmp_path / f"{seed}.{what}.parquet")
            write_table(typed(own, table), path, table)
            paths[what].append(path)
    return paths


def tabulated(tmp_path, summaries, prompts):
    out = {name: str(tmp_path / f"subspaces.{name}") for name in ("csv", "html")}
    table = str(tmp_path / "subspaces.parquet")
    settings = TabulateSubspaces(methods=("lora",), confidence=0.95)
    tabulate_subspaces(summaries=summaries, prompts=prompts, settings=settings, caption="c", table=table, **out)
    return read_table(table, SUBSPACES)


def test_the_mean_over_seeds_stands_behind_the_seeds_the_best_hypotheses_first(tmp_path, files):
    found = tabulated(tmp_path, files["summary"], files["prompts"])
    stream = found.filter(target="stream")
    assert stream.select("seed", "seeds", "subspace", "recovery").rows() == [
        (0, 1, "write", 4.0), (0, 1, "kv_super", 2.0),
        (1, 1, "write", 8.0), (1, 1, "kv_super", 1.0),
        (None, 2, "write", 6.0), (None, 2, "kv_super", 1.5),
    ]  # fmt: skip
    assert stream.filter(pl.col("seed").is_null())["q"].null_count() == 2


def test_bounds_are_of_prompts_and_wider_over_seeds_that_differ(tmp_path, files):
    found = tabulated(tmp_path, files["summary"], files["prompts"])
    assert found.filter(target="down")["low"].null_count() == 6
    for seed, low, high in found.filter(target="stream", subspace="write").select("seed", "low", "high").iter_rows():
        expected = {0: (3.5, 4.5), 1: (7.5, 8.5), None: (3.5, 8.5)}[seed]
        assert expected[0] <= low < high <= expected[1]
        assert (high - low > 2) == (seed is None)


def test_without_methods_the_table_is_empty(tmp_path):
    assert tabulated(tmp_path, [], []).is_empty()
