"""The table of what jobs took: of their records and snakemake's benchmarks."""

import pytest
from steerdose.declarations.cost import COST
from steerdose.files import check_table
from steerdose.tables.cost import cost_table

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def entry(rule, name, tokens=0, **wildcards):
    return {"rule": rule, "wildcards": wildcards, "tokens": tokens, "log": f"results/logs/{rule}/{name}.log"}


@pytest.fixture
def benchmark(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(rule, name, seconds, rss):
        place = tmp_path / f"results/benchmarks/{rule}/{name}.tsv"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{HEAD}{seconds}\t0:00:01\t{rss}\t1\t1\t1\t0\t0\t0\t0\n")

    return write


def test_jobs_of_a_rule_and_method_are_added_up(benchmark):
    cell = {"model": "m", "behavior": "b", "seed": "3"}
    benchmark("train_adapter", "positive", 30.0, 1024)
    benchmark("train_adapter", "negative", 10.0, 2048)
    benchmark("roll_reference", "m", 60.0, "NA")  # over before snakemake looked
    found = cost_table(
        [
            entry("train_adapter", "positive", 900, **cell, entry="lora", sign="positive"),
            entry("train_adapter", "negative", 300, **cell, entry="lora", sign="negative"),
            entry("roll_reference", "m", 0, model="m"),
            entry("plot_survival", "none", **cell),  # without a benchmark
            {"rule": "merge_diff", "wildcards": cell},  # as an older version recorded it
        ]
    )
    check_table(found.schema, COST, "cost")
    reference, trained = found.to_dicts()
    assert trained == {
        **{"rule": "train_adapter", "model": "m", "behavior": "b", "seed": 3, "method": "lora", "jobs": 2},
        **{"seconds": 40.0, "share": 0.4, "gib": 2.0, "tokens": 1200, "tokens_per_second": 30.0},
    }
    assert (reference["rule"], reference["seconds"], reference["share"]) == ("roll_reference", 60.0, 0.6)
    missing = ("behavior", "seed", "method", "gib", "tokens", "tokens_per_second")
    assert [reference[name] for name in missing] == [None] * 6


def test_of_no_jobs_it_is_empty():
    assert cost_table([]).is_empty()
