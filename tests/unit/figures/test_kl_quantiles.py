"""What the KL figures draw: quantiles against numpy, thinned lines against all points."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.kl_quantiles import envelope
from steerdose.columns import KEYS
from steerdose.figures.kl_quantiles import (
    QUANTILES,
    even_edges,
    kl_quantiles,
    numbered,
    read_lines,
    read_quantiles,
    smoothed,
    thinned_lines,
)

NAMES = {"model": "m", "behavior": "b", "seed": 0, "method": "lora"}


def walks(lengths, alpha=1.0, coefficient=2.0, seed=0):
    """Tokens of trajectories of the given lengths with gamma-distributed KL, in a shuffled order."""
    generator = np.random.default_rng(seed)
    rows = [
        NAMES
        | {
            "alpha": alpha,
            "coefficient": coefficient,
            "prompt_id": f"p{i:03}",
            "sample": 0,
            "t": t,
            "kl": generator.gamma(0.3),
        }
        for i, length in enumerate(lengths)
        for t in range(1, length + 1)
    ]
    schema = {"coefficient": pl.Float64, "kl": pl.Float32}
    return pl.DataFrame(rows, schema_overrides=schema).sample(fraction=1, shuffle=True, seed=seed)


LIFE = {"endpoint": pl.lit("text"), "recovered": pl.lit(False), "damage": pl.lit(None, pl.String)}


def lives(count, alpha=1.0, coefficient=2.0, dead=0):
    rows = [
        NAMES
        | {"alpha": alpha, "coefficient": coefficient, "prompt_id": f"p{i:03}", "sample": 0}
        | {"duration": i + 1 if i < dead else 100, "died": i < dead, "ended": False}
        for i in range(count)
    ]
    return pl.DataFrame(rows, schema_overrides={"coefficient": pl.Float64})


def thinned(tokens, lifetimes, **most):
    """A row a point."""
    return thinned_lines(numbered(tokens, lifetimes), lifetimes, **most).explode("t", "kl")


@pytest.mark.parametrize(
    ("window", "most", "expected"), [(4, 8, [0, 1, 2, 3, 4]), (7, 3, [0, 3, 6, 9]), (8, 2, [0, 4, 8])]
)
def test_edges_cover_the_window_in_equal_bins(window, most, expected):
    assert even_edges(window, most) == expected


@pytest.mark.parametrize("coefficient", [2.0, None])
def test_tokens_get_the_row_of_their_trajectory(coefficient):
    both = pl.concat([lives(3, alpha=2.0, coefficient=coefficient), lives(3, coefficient=coefficient)]).reverse()
    parts = [walks([3, 2, 4], alpha, coefficient, seed) for seed, alpha in enumerate((1.0, 2.0))]
    tokens = pl.concat(parts).sample(fraction=1, shuffle=True, seed=0)
    found = numbered(tokens, both)
    assert found.columns == ["line", "t", "kl"]
    assert found.select("line", "t").equals(found.select("line", "t").sort("line", "t"))
    back = found.join(both.with_row_index("line"), on="line").select(tokens.columns)
    assert back.sort("alpha", "prompt_id", "t").equals(tokens.sort("alpha", "prompt_id", "t"))


@pytest.mark.parametrize("edges", [even_edges(20, 7), [0, 1, 2, 5, 9, 20]])
def test_quantiles_are_numpys_over_the_tokens_of_a_bin(edges):
    tokens = walks([20, 20, 7, 1])
    table = kl_quantiles(numbered(tokens, lives(5)), lives(5), edges)
    assert table["start"].to_list() == edges[:-1] and table["stop"].to_list() == edges[1:]
    assert table["n"].unique().to_list() == [5], "one has no token at all"
    for row in table.iter_rows(named=True):
        inside = tokens.filter((pl.col("t") > row["start"]) & (pl.col("t") <= row["stop"]))
        if inside.is_empty():
            assert row["p50"] is None
            continue
        for name, q in QUANTILES.items():
            assert row[name] == pytest.approx(np.quantile(inside["kl"].to_numpy().astype(float), q), rel=1e-6)
        assert row["left"] == inside.filter(pl.col("t") == row["stop"]).height


def test_prompts_without_a_coefficient_have_quantiles_too():
    life = lives(2, coefficient=None)
    table = kl_quantiles(numbered(walks([4, 4], coefficient=None), life), life, [0, 2, 4])
    assert table["left"].to_list() == [2, 2]
    assert table["p50"].null_count() == 0


@pytest.mark.parametrize("width", [0, 1, 4, 5])
def test_the_mean_is_centred_and_stays_inside_a_trajectory(width):
    tokens = numbered(walks([9, 3]), lives(2))
    found = smoothed(tokens, "kl", width)
    for (line,), part in tokens.group_by("line"):
        kl, ours = part["kl"].to_numpy(), found.filter(line=line)["kl"].to_numpy()
        before = width // 2
        expected = [np.mean(kl[max(0, i - before) : i - before + width]) for i in range(len(kl))] if width else kl
        assert ours == pytest.approx(np.array(expected), rel=1e-5)


def test_few_short_lines_are_kept_whole():
    tokens = walks([6, 4])
    kept = thinned(tokens, lives(2, dead=1))
    assert kept.select(*KEYS, "t", "kl").equals(tokens.sort("prompt_id", "t"))
    assert kept.select("shown", "n").unique().rows() == [(2, 2)]


def test_the_envelope_keeps_extremes_death_and_end():
    tokens = walks([1000, 999])
    kept = thinned(tokens, lives(2, dead=2).with_columns(duration=pl.lit(501)), most_bins=10)
    assert len(kept) <= 2 * (2 * 10 + 2)
    for prompt, length in (("p000", 1000), ("p001", 999)):
        line, whole = kept.filter(prompt_id=prompt), tokens.filter(prompt_id=prompt)
        assert {501, length} <= set(line["t"])
        assert line["t"].is_sorted()
        for low in range(0, 1000, 100):
            inside = (pl.col("t") > low) & (pl.col("t") <= low + 100)
            drawn, all_of_it = line.filter(inside)["kl"], whole.filter(inside)["kl"]
            assert (drawn.min(), drawn.max()) == (all_of_it.min(), all_of_it.max())


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 12), st.integers(0, 45))
def test_the_envelope_equals_the_slow_twin_where_values_tie(kl, most_bins, duration):
    tokens = walks([len(kl)]).sort("t").with_columns(kl=pl.Series(kl, dtype=pl.Float32))
    kept = thinned(tokens, lives(1, dead=1).with_columns(duration=pl.lit(duration)), most_bins=most_bins)
    assert kept.select("t", "kl").rows() == envelope(kl, duration, even_edges(len(kl), most_bins))


@pytest.mark.parametrize(("count", "most"), [(7, 3), (100, 100), (30, 7), (5, 9), (1, 1)])
def test_shown_lines_are_as_many_as_asked_for_and_die_alike(count, most):
    dead = count // 2
    kept = thinned(walks([3] * count), lives(count, dead=dead), most_lines=most)
    shown = kept.unique("prompt_id")
    assert len(shown) == min(count, most)
    assert kept.select("shown", "n").unique().rows() == [(min(count, most), count)]
    assert abs(shown["died"].sum() - dead * len(shown) / count) <= 1


def test_each_dose_is_sampled_on_its_own():
    both = pl.concat([lives(6), lives(4, alpha=2.0, coefficient=4.0)])
    tokens = pl.concat([walks([3] * 6), walks([3] * 4, alpha=2.0, coefficient=4.0)])
    kept = thinned(tokens, both, most_lines=5)
    assert kept.group_by("alpha").agg(pl.col("prompt_id").n_unique()).sort("alpha")["prompt_id"].to_list() == [5, 4]


def test_normalisation_comes_before_the_mean(tmp_path):
    """A spike behind the head must not enter the scale through the mean."""
    kl = [1.0] * 20 + [100.0] + [1.0] * 19
    tokens = pl.DataFrame(
        [
            NAMES | {"alpha": 1.0, "coefficient": 2.0, "prompt_id": "p000", "sample": 0, "t": t, "kl": v}
            for t, v in enumerate(kl, 1)
        ]
    )
    tokens.write_parquet(tmp_path / "tokens.parquet")
    lives(1).with_columns(**LIFE).write_parquet(tmp_path / "lifetimes.parquet")
    files = [str(tmp_path / "tokens.parquet")], [str(tmp_path / "lifetimes.parquet")]
    lines, medians = read_lines(*files, frozenset(), 9, 20)
    lines = lines.explode("t", "normalised")
    assert lines.filter(t=1)["normalised"].item() == pytest.approx(1.0)
    assert lines.filter(t=21)["normalised"].item() == pytest.approx(108 / 9)
    assert medians.filter(stop=21)["p50"].item() == pytest.approx(108 / 9)


def test_hidden_methods_are_left_out(tmp_path):
    for name in ("lora", "mean"):
        own = pl.lit(name).alias("method")
        walks([3, 2]).with_columns(own).write_parquet(tmp_path / f"{name}.tokens")
        life = lives(2).with_columns(own, **LIFE)
        life.write_parquet(tmp_path / f"{name}.lifetimes")
    files = [[str(tmp_path / f"{name}.{kind}") for name in ("lora", "mean")] for kind in ("tokens", "lifetimes")]
    assert set(read_quantiles(*files, [0, 1, 3], frozenset())["method"]) == {"lora", "mean"}
    assert set(read_quantiles(*files, [0, 1, 3], frozenset({"lora"}))["method"]) == {"mean"}
    assert [set(frame["method"]) for frame in read_lines(*files, frozenset({"mean"}), 0)] == [{"lora"}] * 2
