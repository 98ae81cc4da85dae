"""Tables of measures by fork and by trajectory."""

import polars as pl
import pytest
from reference.kl_history import ratios
from reference.text_measures import measures
from steerdose.columns import KEYS
from steerdose.outcomes.prefixes import measure_trajectories
from steerdose.outcomes.text import MEASURES

TEXTS = {"p0": [3, 1, 4, 1, 5, 9, 2, 6], "p1": [7, 7, 7, 7, 7], "p2": []}
GRID = [0, 1, 2, 4, 8]


def key(prompt, coefficient=2.0):
    cell = {"model": "m", "behavior": "b", "seed": 0, "method": "lora", "alpha": 1.0, "coefficient": coefficient}
    return cell | {"prompt_id": prompt, "sample": 0}


def kl_of(text):
    return [(token + i) / 4 for i, token in enumerate(text, start=1)]


def study(coefficient=2.0):
    tokens, forks, trajectories = [], [], []
    for prompt, text in TEXTS.items():
        names = key(prompt, coefficient)
        for t, (token, kl) in enumerate(zip(text, kl_of(text), strict=True), start=1):
            tokens.append(names | {"t": t, "token_id": token, "kl": kl})
        for reading in ("steered", "unsteered"):
            forks += [names | {"reading": reading, "t": t, "pmass": 0.9} for t in GRID if t <= len(text)]
        trajectories.append(names | {"n_tokens": len(text), "ended": len(text) < 8, "text": ""})
    overrides = {"coefficient": pl.Float64}
    return [pl.DataFrame(rows, schema_overrides=overrides) for rows in (tokens, forks, trajectories)]


@pytest.mark.parametrize("coefficient", [2.0, None])
def test_a_row_a_fork_whatever_was_read_there(coefficient):
    tokens, forks, trajectories = study(coefficient)
    shuffled = tokens.sample(fraction=1, shuffle=True, seed=1)
    found, _ = measure_trajectories(shuffled, forks, trajectories, "max", n=20)
    assert found.columns == [*KEYS, "t", *MEASURES, "kl", "peak", "level"]
    expected = [(prompt, t) for prompt, text in TEXTS.items() for t in GRID if t <= len(text)]
    assert found.select("prompt_id", "t").rows() == expected
    for (prompt, t), row in zip(expected, found.iter_rows(named=True), strict=True):
        text, kl = TEXTS[prompt], kl_of(TEXTS[prompt])
        assert {name: row[name] for name in MEASURES} == pytest.approx(measures(text[:t]))
        assert row["kl"] == (pytest.approx(max(kl[:t])) if t else None)
        own_forks = [u for u in GRID if u <= len(text)]
        assert (row["peak"], row["level"]) == pytest.approx(ratios(kl, own_forks, 20)[own_forks.index(t)])


def test_a_row_a_trajectory():
    _, found = measure_trajectories(*study(), "max", n=20)
    assert found.columns == [*KEYS, "n_tokens", "ended", *MEASURES]
    for row in found.iter_rows(named=True):
        text = TEXTS[row["prompt_id"]]
        assert row["n_tokens"] == len(text)
        assert {name: row[name] for name in MEASURES} == pytest.approx(measures(text))
