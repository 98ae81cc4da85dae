"""Histories of deaths: each class planted, chance alone, and the slow twin."""

import numpy as np
import polars as pl
import pytest
from reference.deaths import history
from steerdose.columns import KEYS
from steerdose.outcomes.prefixes import measure_trajectories
from steerdose.survival.histories import death_histories

GRID = [0, 1, 2, 4, 8, 16, 32, 64]
EARLY = 19  # survivors that a p of 0.05 needs


def key(prompt, alpha=1.0, method="lora", coefficient=2.0):
    cell = {"model": "m", "behavior": "b", "seed": 0, "method": method, "alpha": alpha, "coefficient": coefficient}
    return cell | {"prompt_id": f"p{prompt}", "sample": 0}


def noise(generator):
    """KL of a trajectory that nothing happens to: heavy tailed, at a scale of its own."""
    return generator.lognormal(generator.normal(0, 1), 1, GRID[-1])


def cohort(lives, seed=0, **names):
    """Tokens, forks and lifetimes of trajectories from (duration, died, what happens to its KL before that fork)."""
    generator = np.random.default_rng(seed)
    tokens, forks, rows = [], [], []
    for i, (duration, died, happens) in enumerate(lives):
        kl, own = noise(generator), key(i, **names)
        gap = slice(GRID[GRID.index(duration) - 1], duration) if died and duration else slice(0, 0)
        happens(kl, gap)
        tokens += [own | {"t": t, "token_id": 0, "kl": value} for t, value in enumerate(kl.tolist(), start=1)]
        forks += [own | {"t": t} for t in GRID]
        rows.append(own | {"duration": duration, "died": died, "ended": False})
    return pl.DataFrame(tokens), pl.DataFrame(forks), pl.DataFrame(rows)


def nothing(kl, gap):
    pass


def spike(kl, gap):
    kl[gap.stop - 2] *= 1000


def rise(kl, gap):
    kl[gap] *= 100


def measures(tokens, forks, lives):
    return measure_trajectories(tokens, forks, lives.with_columns(n_tokens=pl.lit(GRID[-1])), "p95", 20)


def histories(tokens, forks, lives, significance=0.05):
    return death_histories(lives, measures(tokens, forks, lives)[0], significance)


ALIVE = [(GRID[-1], False, nothing)] * 60


@pytest.mark.parametrize("duration", [8, 16, 32, 64])
@pytest.mark.parametrize(("happens", "expected"), [(spike, "spike"), (rise, "sustained"), (nothing, "neither")])
def test_a_planted_history_is_found(happens, expected, duration):
    found = histories(*cohort([*ALIVE, (duration, True, happens)], seed=duration))
    died = found.filter("died").row(0, named=True)
    assert (died["history"], died["scope"], died["survivors"]) == (expected, "dose", 60)
    assert found.filter(~pl.col("died"))["history"].null_count() == 60


def test_deaths_without_a_history():
    found = histories(*cohort([*ALIVE, (0, True, nothing), (1, True, rise)])).filter("died")
    assert found["history"].to_list() == ["at once", "unclear"]  # the first gap has no tokens before it
    assert found["p_peak"].to_list() == [None, None]
    assert found["kl"][0] is None and found["kl"][1] > 0


def test_too_few_survivors_give_no_verdict_and_other_doses_methods_are_asked_then():
    alone = cohort([*ALIVE[: EARLY - 1], (32, True, rise)])
    assert histories(*alone).filter("died")["history"].to_list() == ["unclear"]
    for scope, names in (("method", {"alpha": 2.0}), ("cell", {"method": "other"})):
        company = cohort(ALIVE[:EARLY], seed=1, **names)
        both = [pl.concat(parts) for parts in zip(alone, company, strict=True)]
        row = histories(*both).filter("died").row(0, named=True)
        assert (row["history"], row["scope"]) == ("sustained", scope)
        assert row["survivors"] == EARLY + (EARLY - 1)
    unsteered = cohort(ALIVE, seed=1, alpha=0.0)
    both = [pl.concat(parts) for parts in zip(alone, unsteered, strict=True)]
    assert histories(*both).filter("died")["history"].to_list() == ["unclear"]


def test_no_death_and_no_survivor():
    assert histories(*cohort(ALIVE[:2]))["history"].to_list() == [None, None]
    assert histories(*cohort([(8, True, spike)] * 30))["history"].to_list() == ["unclear"] * 30


@pytest.mark.parametrize("unit", [1e-6, 1.4427, 1e6])
def test_neither_units_nor_order_nor_company_matter(unit):
    tokens, forks, lives = cohort([*ALIVE, (32, True, spike), (16, True, rise), (64, True, nothing)])
    found = histories(tokens, forks, lives)
    shuffled = lives.sample(fraction=1, shuffle=True, seed=3)
    other = cohort(ALIVE, seed=5, method="other", coefficient=None)
    mixed = histories(
        pl.concat([tokens.with_columns(pl.col("kl") * unit), other[0]], how="vertical_relaxed"),
        pl.concat([forks.sample(fraction=1, shuffle=True, seed=4), other[1]], how="vertical_relaxed"),
        pl.concat([shuffled, other[2]], how="vertical_relaxed"),
    )
    assert mixed.select(KEYS).rows()[: len(lives)] == shuffled.select(KEYS).rows()
    same = ["prompt_id", "history", "scope", "survivors", "p_peak", "p_level"]
    assert mixed.filter(method="lora").select(same).sort("prompt_id").equals(found.select(same).sort("prompt_id"))


def test_by_chance_a_history_is_found_no_more_often_than_stated():
    n = 600
    deaths = [(int(t), True, nothing) for t in np.random.default_rng(1).choice(GRID[3:], n)]
    found = histories(*cohort([*[(GRID[-1], False, nothing)] * n, *deaths], seed=2))
    share = found.filter("died")["history"].value_counts(normalize=True)
    share = dict(share.iter_rows())
    margin = 4 * np.sqrt(0.05 * 0.95 / n)
    assert 0.05 - margin < share["sustained"] < 0.05 + margin
    assert share["spike"] < 0.05 + margin
    assert share["neither"] > 0.9 - margin


def test_it_equals_the_slow_twin():
    generator = np.random.default_rng(7)
    parts = []
    for i, (method, alpha) in enumerate([("lora", 0.0), ("lora", 1.0), ("lora", 2.0), ("mean", 1.0), ("mean", 2.0)]):
        lives = []
        for _ in range(12):
            dies = alpha > 0 and generator.random() < 0.5
            happens = [nothing, rise, spike][generator.integers(3)]
            duration = int(generator.choice([0, 1, 4, 8, 16, 64])) if dies else GRID[-1]
            lives.append((duration, dies, happens if dies and duration > 1 else nothing))
        parts.append(cohort(lives, seed=i, alpha=alpha, method=method))
    tokens, forks, lives = [pl.concat(each) for each in zip(*parts, strict=True)]
    prefixes, _ = measures(tokens, forks, lives)
    found = death_histories(lives, prefixes, 0.05)
    trajectories = [
        life
        | {"measures": {row["t"]: row for row in prefixes.filter(*[pl.col(k) == life[k] for k in KEYS]).to_dicts()}}
        for life in lives.to_dicts()
    ]
    expected = [history(each, trajectories, 0.05) if each["died"] else (None, None) for each in trajectories]
    assert found.select("history", "scope").rows() == expected
    assert len({row[0] for row in expected}) >= 5
