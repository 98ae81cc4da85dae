"""The bands of sound text."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom, binomtest
from steerdose.columns import Cell
from steerdose.declarations.passed import REFERENCE_TOKENS
from steerdose.errors import SteerdoseError
from steerdose.files import read_json, write_table
from steerdose.outcomes.bands import bands_of, false_alarms, reference_texts, set_bands, worst_of
from steerdose.study.endpoints import TextEndpoint
from steerdose.study.settings import SetBands

OPTIONS = TextEndpoint(kind="text")


def texts(n, seed, length=128):
    """Unsteered texts: greedy ones repeat themselves more, sampled ones are more surprising."""
    generator = np.random.default_rng(seed)
    rows = []
    for decoding, words, nats in (("greedy", 60, 0.3), ("sampled", 3000, 1.2)):
        for i in range(n):
            ids, nll = generator.integers(0, words, length), generator.exponential(nats, length)
            start = generator.integers(0, length - 20)
            ids[start + 10 : start + 10 + i % 10] = ids[start : start + i % 10]  # phrases that come back
            rows += [(decoding, f"q-{i}", 0, t + 1, int(ids[t]), float(nll[t])) for t in range(length)]
    types = {"decoding": pl.String, "prompt_id": pl.String, "sample": pl.Int32, "t": pl.Int32, "token_id": pl.Int32}
    return pl.DataFrame(rows, schema={**types, "nll": pl.Float32}, orient="row")


def test_fresh_unsteered_texts_ring_as_rarely_as_the_size_says():
    limits = bands_of(worst_of(reference_texts(texts(80, 1)), OPTIONS), OPTIONS.size)
    fresh = worst_of(reference_texts(texts(200, 2)), OPTIONS)
    rang = fresh.select(pl.any_horizontal(pl.col(name) > limit for name, limit in limits.items())).to_series()
    for decoding in ("greedy", "sampled"):
        count = int((rang & (fresh["decoding"] == decoding)).sum())
        assert count <= 0.08 * 200, f"{count} of 200 {decoding} texts ring"


def test_each_measure_is_banded_by_the_decoding_that_is_hardest_on_it():
    worst = worst_of(reference_texts(texts(40, 3)), OPTIONS)
    limits = bands_of(worst, 0.05)
    assert limits["nll"] == worst.filter(decoding="sampled")["nll"].max()
    assert limits["repetition"] == worst.filter(decoding="greedy")["repetition"].sort()[-2]
    assert worst.filter(decoding="greedy")["nll"].max() < limits["nll"] / 2, "greedy texts alone would band too low"


def test_so_many_texts_lie_below_the_band_that_the_next_one_rarely_rings():
    values = pl.DataFrame(
        {
            "decoding": ["greedy"] * 99 + ["sampled"] * 99,
            "prompt_id": [f"q-{i}" for i in range(99)] * 2,
            "repetition": np.tile(np.arange(99.0), 2),
            "nll": np.tile(np.arange(99.0), 2),
            "joint": np.tile(np.arange(99.0), 2),
        }
    )
    found = bands_of(values, 0.1)
    assert found["repetition"] == 89.0, "the 90th of 99: 10 in 100 for the next"
    assert found["nll"] == found["joint"] == 94.0, "two of one decoding share the size"
    assert bands_of(values, 0.02)["nll"] == 98.0
    with pytest.raises(SteerdoseError, match="too few for an alarm that rings on 0.005 of them: 199 are wanted"):
        bands_of(values, 0.01)


def test_false_alarms_are_counted_against_the_bands_of_the_other_prompts():
    """Of 100 exchangeable texts that set the band themselves 5 would ring; left out, each has its chance of 1 in 20."""
    worst = worst_of(reference_texts(texts(100, 4)), OPTIONS)
    found = false_alarms(worst, 0.05, "sampled")
    assert found["n"] == 100
    assert found["share"] == found["rang"] / 100
    assert found["rang"] <= binom.ppf(0.999, 100, 0.06)
    expected = binomtest(found["rang"], 100).proportion_ci(0.95)
    assert (found["low"], found["high"]) == (expected.low, expected.high)


def test_the_job_writes_the_bands_of_every_text_endpoint(tmp_path):
    frame = texts(50, 5).with_columns(Cell(model="m").columns())
    write_table(frame, tmp_path / "tokens.parquet", REFERENCE_TOKENS)
    strict = OPTIONS.model_copy(update={"size": 0.5})
    set_bands(
        tokens=str(tmp_path / "tokens.parquet"),
        settings=SetBands(endpoints={"text": OPTIONS, "strict": strict}),
        bands=str(tmp_path / "bands.json"),
    )
    found = read_json(tmp_path / "bands.json")
    assert set(found) == {"text", "strict"}
    assert all(found["strict"]["bands"][name] < found["text"]["bands"][name] for name in ("repetition", "nll", "joint"))
    assert found["strict"]["false_alarms"]["sampled"]["share"] > found["text"]["false_alarms"]["sampled"]["share"]
