"""Cuts of a weight delta: exact complements, energies that add up, planted parts that are found where they were put."""

from typing import get_args

import pytest
import torch
from steerdose.errors import SteerdoseError
from steerdose.make.cuts import CHOOSING, CROPPING, Whole, cut
from steerdose.steering.edits import Dense, LowRank, matrix
from steerdose.steering.steering import Steering
from steerdose.study.parts import KNOWN, By

MODULES = ("self_attn.q_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj")
PATHS = [f"model.layers.{layer}.{module}" for layer in range(9, 15) for module in MODULES]
OUT, IN, RANK = 12, 10, 4
NAMES = {
    **{"layer": ("9", "14"), "module": ("q_proj", "down_proj"), "third": KNOWN["third"], "role": KNOWN["role"]},
    **{"rank": ("1", "2", "3"), "quartile": KNOWN["quartile"], "energy": ("50", "90")},
}


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def low_rank(seed, scale=1.0):
    return LowRank(A=normal(RANK, IN, seed=seed).float(), B=(scale * normal(OUT, RANK, seed=100 + seed)).float())


def whole(edits=None):
    edits = edits or [(path, low_rank(i)) for i, path in enumerate(PATHS)]
    return Whole(Steering("lora", tuple(edits), {}))


def total(edits):
    sums = {}
    for path, edit in edits:
        sums[path] = sums.get(path, 0) + matrix(edit)
    return sums


def test_there_is_a_way_for_every_value_of_by():
    assert {*CHOOSING, *CROPPING} == {*get_args(By)}
    assert not {*CHOOSING} & {*CROPPING}


@pytest.mark.parametrize(("by", "name"), [(by, name) for by, names in NAMES.items() for name in names])
def test_keep_and_drop_make_up_the_whole_and_their_energies_one(by, name):
    """Also of a module with two edits, and of one of full rank."""
    edits = [(path, low_rank(i)) for i, path in enumerate(PATHS)]
    edits += [(PATHS[0], low_rank(50)), (PATHS[5], Dense(normal(OUT, IN, seed=60).float()))]
    delta = whole(edits)
    keep, drop = (cut(delta, by, name, side) for side in (False, True))
    expected = total(edits)
    found = total((*keep.kept, *drop.kept))
    for path, full in expected.items():
        assert (found[path] - full).norm() <= 1e-6 * full.norm(), path
    assert max(keep.error, drop.error) < 1e-6
    assert keep.energy + drop.energy == pytest.approx(1, abs=1e-6), "a published table had energies above 1"
    assert 0 < keep.energy < 1


def test_a_spectrum_is_that_of_the_matrix_and_is_computed_once(monkeypatch):
    delta, calls, real = whole(), [], torch.linalg.svd
    monkeypatch.setattr(torch.linalg, "svd", lambda *given, **more: calls.append(1) or real(*given, **more))
    for name in ("1", "2", "3"):
        cut(delta, "rank", name, False)
        cut(delta, "rank", name, True)
    assert len(calls) == len(PATHS)
    monkeypatch.undo()
    U, s, Vh = delta.spectrum(PATHS[3])
    expected = torch.linalg.svdvals(matrix(dict(delta.edits)[PATHS[3]]))
    torch.testing.assert_close(s, expected[:RANK])
    torch.testing.assert_close(U * s @ Vh, matrix(dict(delta.edits)[PATHS[3]]))


def test_ranks_are_counted_in_singular_values_and_not_in_columns():
    best = cut(whole(), "rank", "2", False)
    for path, edit in best.kept:
        full = matrix(dict(whole().edits)[path])
        U, s, Vh = torch.linalg.svd(full, full_matrices=False)
        torch.testing.assert_close(matrix(edit), (U[:, :2] * s[:2]) @ Vh[:2], atol=1e-5, rtol=1e-5)
    with pytest.raises(SteerdoseError, match="nothing is left without rank 4: its matrices have 4 singular values"):
        cut(whole(), "rank", "4", True)
    everything = cut(whole(), "rank", "9", False)
    assert (everything.energy, everything.error) == (pytest.approx(1), pytest.approx(0, abs=1e-6))


def test_quartiles_share_the_singular_values_out_and_energy_takes_the_fewest():
    delta = whole()
    s = delta.spectrum(PATHS[0])[1]
    sizes = [len(cut(delta, "quartile", name, False).kept[0][1].A) for name in KNOWN["quartile"]]
    assert sizes == [1, 1, 1, 1]
    for percent in (50, 90):
        count = len(cut(delta, "energy", str(percent), False).kept[0][1].A)
        share = s.square().cumsum(0) / s.square().sum()
        assert share[count - 1] >= percent / 100 > (share[count - 2] if count > 1 else 0)


def test_a_planted_part_holds_the_energy_where_it_was_put():
    edits = [(path, low_rank(i, scale=100.0 if "layers.12." in path else 1.0)) for i, path in enumerate(PATHS)]
    assert cut(whole(edits), "layer", "12", False).energy > 0.99
    assert cut(whole(edits), "third", "middle", False).energy > 0.99
    assert cut(whole(edits), "layer", "12", True).energy < 0.01
    loud = [(path, low_rank(i, scale=100.0 if "down_proj" in path else 1.0)) for i, path in enumerate(PATHS)]
    energies = {name: cut(whole(loud), "role", name, False).energy for name in KNOWN["role"]}
    assert {name for name, energy in energies.items() if energy > 0.99} == {"writers", "mlp"}
    spread = [cut(whole(), "layer", str(layer), False).energy for layer in range(9, 15)]
    assert max(spread) < 0.35, "evenly spread"


def test_thirds_are_of_the_layers_that_are_changed():
    layers = {
        name: {path.split(".")[2] for path, _ in cut(whole(), "third", name, False).kept} for name in KNOWN["third"]
    }
    assert layers == {"early": {"9", "10"}, "middle": {"11", "12"}, "late": {"13", "14"}}
    few = whole([(PATHS[0], low_rank(0))])
    with pytest.raises(SteerdoseError, match=r"it has no third late; it has \['early'\]"):
        cut(few, "third", "late", False)


@pytest.mark.parametrize(
    ("path", "roles"),
    [
        ("transformer.h.3.attn.c_attn", ("readers", "attention")),
        ("transformer.h.3.mlp.c_proj", ("writers", "mlp")),
        ("gpt_neox.layers.2.attention.dense", ("writers", "attention")),
        ("gpt_neox.layers.2.mlp.dense_h_to_4h", ("readers", "mlp")),
        ("model.layers.0.self_attn.o_proj", ("writers", "attention")),
    ],
)
def test_roles_are_those_of_any_architecture(path, roles):
    assert CHOOSING["role"](whole(), path) == roles
