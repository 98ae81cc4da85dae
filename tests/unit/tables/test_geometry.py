"""The geometry of all methods as one table: what is taken from the files, and what stays empty."""

import polars as pl
import pytest
import torch
from steerdose.files import write_json
from steerdose.steering.edits import Ablate, Add, Dense, LowRank
from steerdose.steering.steering import Steering
from steerdose.study.published import MethodFiles
from steerdose.tables.geometry import NUMBERS, SCHEMA, geometry_table, seed_cosines

CELL = {"model": "m", "behavior": "honesty", "seed": 3}
GEOMETRY = {name: float(i) for i, name in enumerate(NUMBERS)}
LOW = {"module": "a", "edit": "LowRank", "rank": 4, "norm": 1.0, "n_parameters": 10}
DENSE = {"module": "b", "edit": "Dense", "rank": None, "norm": 1.0, "n_parameters": 20}
FILES = {
    "lora": ("adapter", {**GEOMETRY, "delta": "difference", "modules": [LOW, {**LOW, "rank": 2}]}),
    "dora": ("adapter", {**GEOMETRY, "delta": "difference", "modules": [LOW, DENSE]}),
    "mean_diff": (
        "activation",
        {"modules": [{"module": "a", "edit": "Add", "stability": s} for s in (0.5, None, 1.0)]},
    ),
    "plain": ("activation", {"modules": [{"module": "a", "edit": "Add"}]}),
}


def files(**changes):
    return MethodFiles(
        **{
            **CELL,
            "method": "x",
            "group": "adapter",
            "origin": "",
            "calibration": "",
            "benchmarks": (),
            "steering": None,
        }
        | changes
    )


@pytest.fixture
def table(tmp_path):
    methods = []
    for name, (group, content) in FILES.items():
        write_json(content, tmp_path / f"{name}.json")
        methods.append(files(method=name, group=group, geometry=str(tmp_path / f"{name}.json")))
    return geometry_table(methods)


def test_one_row_a_method_in_order_with_the_documented_columns(table):
    assert table.schema == pl.Schema(SCHEMA)
    assert table["method"].to_list() == list(FILES)
    assert table.select(NUMBERS).row(0, named=True) == GEOMETRY
    assert table["group"].to_list() == ["adapter", "adapter", "activation", "activation"]


def test_what_is_not_defined_is_null(table):
    assert table["rank"].to_list() == [4, None, None, None], "the largest, unless a module is stored whole"
    assert table["n_modules"].to_list() == [2, 2, 3, 1]
    assert table["n_parameters"].to_list() == [20, 30, None, None]
    assert table["stability"].to_list() == [None, None, 0.75, None]
    assert table["norm_delta"].to_list() == [0.0, 0.0, None, None]


def test_seed_cosine_is_between_the_seeds_of_one_method(tmp_path):
    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    generator = torch.Generator().manual_seed(0)
    A, B, v = normal(2, 6), normal(5, 2), normal(4)
    kinds = {
        "delta": [{"a": LowRank(A, B)}, {"a": LowRank(2 * A, B), "b": LowRank(A, 2 * B)}, {"a": LowRank(A, -B)}],
        "added": [{"a": Add(v)}, {"a": Add(3 * v)}, {"a": Add(torch.stack([v[1], -v[0], v[3], -v[2]]))}],
        "ablation": [{"a": Ablate(v / v.norm())}] * 3,
    }
    methods, paths = [], []
    for method, seeds in kinds.items():
        for seed, edits in enumerate(seeds):
            methods.append(files(seed=seed, method=method, geometry=None))
            paths.append(str(tmp_path / f"{method}{seed}"))
            Steering(method, tuple(edits.items()), {}).save(paths[-1])
    half = 2 / 8**0.5  # the second delta is as long in b as in a, and b is its own
    delta = [(half - 1) / 2, 0, (-1 - half) / 2]
    assert seed_cosines(methods, paths).to_list()[:6] == pytest.approx([*delta, 0.5, 0.5, 0], abs=1e-6)
    assert seed_cosines(methods, paths).to_list()[6:] == [None] * 3
    assert seed_cosines(methods[:1] + methods[3:4], [paths[0], paths[3]]).to_list() == [None, None]


def test_several_edits_of_one_module_count_as_their_sum(tmp_path):
    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    generator = torch.Generator().manual_seed(1)
    A, B, C, D, v, w = normal(2, 6), normal(5, 2), normal(3, 6), normal(5, 3), normal(5), normal(5)
    seeds = {
        "delta": [
            (("a", LowRank(A, B)), ("a", LowRank(C, D))),
            (("a", Dense(B @ A + D @ C)),),
            (("a", LowRank(C, D)),),
        ],
        "added": [(("a", Add(v)), ("a", Add(w))), (("a", Add(2 * v + 2 * w)),), (("a", Add(w)),)],
        "cancelled": [(("a", Add(v)), ("a", Add(-v))), (("a", Add(v)),)],
        "both": [(("a", LowRank(A, B)), ("a", Add(v)))] * 2,
        "unlike": [(("a", LowRank(A, B)),), (("a", Add(v)),)],
    }
    methods, paths = [], []
    for method, edits in seeds.items():
        for seed, each in enumerate(edits):
            methods.append(files(seed=seed, method=method, geometry=None))
            paths.append(str(tmp_path / f"{method}{seed}"))
            Steering(method, each, {}).save(paths[-1])
    whole, last = B @ A + D @ C, D @ C
    delta, added = (
        torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0)
        for one, other in ((whole, last), (v + w, w))
    )
    expected = [value for cosine in (delta, added) for value in ((1 + cosine) / 2, (1 + cosine) / 2, cosine)]
    found = seed_cosines(methods, paths).to_list()
    assert found[:6] == pytest.approx([float(value) for value in expected], abs=1e-6)
    assert found[6:] == [None] * 6
