"""Means over blocks against chance: right under the null for either scope, and small where something is planted."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from steerdose.subspaces.labels import SPECIFIC, Labels
from steerdose.subspaces.linear import Basis, orthonormal
from steerdose.subspaces.registry import BLOCK, MODEL, Built
from steerdose.subspaces.resampling import resampled_mean
from steerdose.subspaces.scores import of_delta, of_differences
from steerdose.subspaces.summary import Chance, summarised
from steerdose.subspaces.sweep import CLEAN, by_prompt, clean_of, swept, with_specific
from subspace_examples import normal

D, BLOCKS = 40, (0, 1, 2)
ROWS = tuple(normal(6, D, seed=20 + i) + 2 * normal(1, D, seed=5) for i in BLOCKS)  # blocks that go much the same way
LABELS = Labels(
    tuple({"stream": of_differences(rows), "down": of_delta(normal(D, 3, seed=30 + i))} for i, rows in enumerate(ROWS)),
    ROWS,
)
OF_BLOCKS, OF_MODEL = "write", "global_write"  # a basis a block, and one for all
NAMES = ["mlp_write", "attn_write", "mlp_up_read", "kv_super", "input_super", "qk_circuit"]
SCOPES = {**dict.fromkeys([OF_BLOCKS, *NAMES], BLOCK), OF_MODEL: MODEL}


def bases(name, make):
    Q = make()
    return [Built(name, i, Basis(Q if name == OF_MODEL else make(), torch.ones(4)), "ok") for i in BLOCKS]


def random_basis(rng):
    return lambda: torch.linalg.qr(torch.from_numpy(rng.standard_normal((D, 4)))).Q


@pytest.mark.parametrize("name", [OF_BLOCKS, OF_MODEL])
@pytest.mark.parametrize("target", ["stream", "down"])
def test_of_random_bases_p_is_uniform_and_z_has_a_variance_of_one(name, target):
    """One basis for all blocks meets one label again and again, so that its chance is wider than that of several."""
    rng, chance = np.random.default_rng(0), Chance(LABELS, BLOCKS, 4999)
    found = []
    for _ in range(400):
        rows = [row for row in swept(bases(name, random_basis(rng)), LABELS, BLOCKS, (4,)) if row["target"] == target]
        found += list(summarised(rows, chance, SCOPES))
    assert kstest([row["p"] for row in found], "uniform").pvalue > 0.01
    assert np.var([row["z"] for row in found]) == pytest.approx(1, abs=0.25)


def test_beside_clean_directions_p_is_uniform_too_and_a_basis_inside_them_has_none():
    """Eight of forty directions are left out, so that chance in all forty would be another."""
    rng = np.random.default_rng(2)
    clean = [Built(CLEAN, i, Basis(orthonormal(normal(D, 8, seed=60 + i)), torch.ones(8)), "ok") for i in BLOCKS]
    labels = with_specific(LABELS, clean_of(clean))
    chance, found = Chance(labels, BLOCKS, 4999), []
    scopes = SCOPES | {CLEAN: BLOCK}
    for _ in range(400):
        rows = swept([*clean, *bases(OF_BLOCKS, random_basis(rng))], labels, BLOCKS, (4,))
        rows = [row for row in rows if row.get("target") == SPECIFIC]
        assert {row["subspace"] for row in rows} == {OF_BLOCKS}
        found += list(summarised(rows, chance, scopes))
    assert np.mean([row["recovery"] for row in found]) == pytest.approx(1, abs=0.06)
    assert kstest([row["p"] for row in found], "uniform").pvalue > 0.01
    assert np.var([row["z"] for row in found]) == pytest.approx(1, abs=0.25)
    half = [orthonormal(torch.cat([each.basis.Q[:, :2], normal(D, 2, seed=9)], 1)) for each in clean]
    inside = [Built(OF_BLOCKS, i, Basis(Q, torch.ones(4)), "ok") for i, Q in zip(BLOCKS, half, strict=True)]
    rows = [row for row in swept([*clean, *inside], labels, BLOCKS, (4,)) if row.get("target") == SPECIFIC]
    (narrow,) = summarised(rows, chance, scopes)
    assert {row["width_left"] for row in rows} == {2}
    assert narrow["p"] is None


def test_one_basis_for_all_blocks_has_a_wider_chance_where_blocks_agree():
    chance = Chance(LABELS, BLOCKS, 99)
    assert chance.of("stream", 4, "model")[0] > 1.2 * chance.of("stream", 4, "block")[0]


def test_a_planted_direction_is_told_from_chance_among_many_that_are_not():
    rng = np.random.default_rng(1)
    u = ROWS[0].double().mean(0)
    planted = orthonormal(torch.stack([u, *torch.from_numpy(rng.standard_normal((3, D)))], 1))
    every = [Built(OF_BLOCKS, i, Basis(planted, torch.ones(4)), "ok") for i in BLOCKS]
    every += [each for name in NAMES for each in bases(name, random_basis(rng))]
    rows = summarised(swept(every, LABELS, BLOCKS, (4,)), Chance(LABELS, BLOCKS), SCOPES)
    found = {row["subspace"]: row for row in rows if row["target"] == "stream"}
    assert found[OF_BLOCKS]["q"] < 0.01
    assert found[OF_BLOCKS]["blocks"] == 3
    assert all(row["q"] >= row["p"] for row in found.values())
    assert min(row["q"] for name, row in found.items() if name != OF_BLOCKS) > 0.05


def test_the_mean_over_prompts_is_the_mean_over_blocks():
    every = bases(OF_BLOCKS, random_basis(np.random.default_rng(2)))
    rows = [row for row in swept(every, LABELS, BLOCKS, (2, 4)) if row["target"] == "stream"]
    prompts = by_prompt(every, LABELS, BLOCKS, (2, 4))
    for width in (2, 4):
        mean = np.mean([row["recovery"] for row in rows if row["width"] == width])
        assert float(prompts[OF_BLOCKS, width].mean()) == pytest.approx(mean)


def test_bounds_hold_the_true_mean_as_often_as_they_say():
    """Prompts that differ and seeds that do too: simulated, with 12 seeds, of which a bootstrap is not too sure."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(300):
        prompts = rng.normal(0, 1, 24)
        values = [2 + prompts + each + rng.normal(0, 0.5, 24) for each in rng.normal(0, 0.5, 12)]
        low, high = resampled_mean(values, 0.95, 400)
        inside += low <= 2 <= high
    assert inside / 300 == pytest.approx(0.95, abs=0.05)
