"""Cuts of a weight delta: exact complements, energies that add up, planted parts that are found where they were put."""

import math
from typing import get_args

import pytest
import torch
from steerdose.cuts.modules import role
from steerdose.cuts.projections import BLOCK
from steerdose.cuts.ways import CHOOSING, CONTROLS, CROPPING, PROJECTING, both, cut, hypothesis, names_of
from steerdose.cuts.whole import Whole, is_writer, whole_of
from steerdose.errors import SteerdoseError
from steerdose.steering.edits import Add, Dense, LowRank, matrix
from steerdose.steering.steering import Steering
from steerdose.study.ablations import EVERY
from steerdose.study.parts import CONTROLS as NAMED_CONTROLS
from steerdose.study.parts import KNOWN, OF_SUBSPACES, By

MODULES = ("self_attn.q_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj")
PATHS = [f"model.layers.{layer}.{module}" for layer in range(9, 15) for module in MODULES]
OUT, IN, RANK = 12, 10, 4
NAMES = {
    **{"layer": ("9", "14"), "module": ("q_proj", "down_proj"), "third": KNOWN["third"], "role": KNOWN["role"]},
    **{"rank": ("1", "2", "3"), "quartile": KNOWN["quartile"], "energy": ("50", "90"), "form": KNOWN["form"]},
    **dict.fromkeys(("base", "shared", "others", "top", "tail", "random_basis"), ("1", "3", "5")),
    "subspace": ("mlp_write-1", "mlp_write-5", "own-3", "random0-5", "written"),
}


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def low_rank(seed, scale=1.0):
    return LowRank(A=normal(RANK, IN, seed=seed).float(), B=(scale * normal(OUT, RANK, seed=100 + seed)).float())


def orthonormal(seed, width=OUT, columns=8):
    return torch.linalg.qr(normal(width, columns, seed=seed)).Q.float()


def whole(edits=None, weights=None, bases=None):
    edits = edits or [(path, low_rank(i)) for i, path in enumerate(PATHS)]
    kinds = ("shared", "without.lora", "top.lora", "tail.lora", "random", "mlp_write")
    bases = bases or {
        f"{kind}.{layer}": orthonormal(7 * layer + i) for layer in range(9, 15) for i, kind in enumerate(kinds)
    }
    weights = weights or {path: normal(OUT, IN, seed=300 + i).float() for i, path in enumerate(PATHS)}
    return Whole(tuple(edits), method="lora", weights=weights, bases=bases, draw=("m", "b", 0, "lora"))


def total(edits):
    sums = {}
    for path, edit in edits:
        sums[path] = sums.get(path, 0) + matrix(edit)
    return sums


def test_there_is_a_way_for_every_value_of_by_and_each_tests_a_hypothesis():
    assert sorted((*CHOOSING, *CROPPING, *PROJECTING, *CONTROLS, "form")) == sorted(get_args(By))
    assert sorted(get_args(By)) == sorted((*EVERY, *OF_SUBSPACES))
    assert {*CONTROLS} == {*NAMED_CONTROLS}
    said = [hypothesis(by) for by in get_args(By)]
    assert len(set(said)) == len(said)
    assert all(each.endswith((".", ",", ":")) or "(" in each for each in said)


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


@pytest.mark.parametrize("by", CONTROLS)
def test_a_control_is_as_long_as_the_delta_and_leaves_nothing_to_drop(by):
    """A published table compared parts with random matrices of other norms."""
    delta, name = whole(), {"directions": "equal", "random_module": "o_proj"}.get(by, "0")
    kept, rest = both(delta, by, name)
    lengths = {path: edit.norm() for path, edit in kept.kept}
    own = {path: edit.norm() for path, edit in delta.edits}
    assert rest is None
    if by in ("random", "random_module"):
        assert lengths == pytest.approx({path: own[path] for path in lengths}, rel=1e-5)
        assert {path.rpartition(".")[2] for path in lengths} == ({"o_proj"} if by == "random_module" else {
            module.rpartition(".")[2] for module in MODULES
        })  # fmt: skip
    else:
        assert math.hypot(*lengths.values()) == pytest.approx(math.hypot(*own.values()), rel=1e-5)
        assert max(lengths.values()) == pytest.approx(min(lengths.values()), rel=1e-5)
    if by == "directions":
        for path, edit in kept.kept:
            cosine = torch.cosine_similarity(matrix(edit).flatten(), matrix(delta.by_path[path]).flatten(), dim=0)
            assert cosine == pytest.approx(1, abs=1e-6)
    with pytest.raises(SteerdoseError, match="is no part of the delta, so nothing is left without it"):
        cut(delta, by, name, True)


def test_draws_are_different_and_each_is_the_same_again():
    copies = [torch.stack([matrix(edit) for _, edit in cut(whole(), "random", name, False).kept]) for name in "001"]
    assert torch.equal(copies[0], copies[1])
    assert torch.cosine_similarity(copies[0].flatten(), copies[2].flatten(), dim=0).abs() < 0.2


def test_a_delta_in_a_known_subspace_is_found_there_and_nowhere_else():
    bases = {f"{kind}.{layer}": orthonormal(layer + 50 * i, columns=3) for layer in range(9, 15)
             for i, kind in enumerate(("shared", "without.lora", "top.lora", "tail.lora", "random"))}  # fmt: skip
    inside = [
        (path, LowRank(A=normal(3, IN, seed=i).float(), B=bases[f"shared.{path.split('.')[2]}"]))
        for i, path in enumerate(PATHS) if is_writer(path)
    ]  # fmt: skip
    delta = whole(inside, bases=bases)
    keep, drop = both(delta, "shared", "3")
    assert (keep.energy, drop) == (pytest.approx(1, abs=1e-6), None)
    assert both(delta, "random_basis", "3")[0].energy == pytest.approx(3 / OUT, abs=0.15)
    readers = both(whole(bases=bases), "shared", "3")
    assert {path.rpartition(".")[2] for path, _ in readers[0].kept} == {"o_proj", "down_proj"}, "only what writes"
    assert len(readers[1].kept) == len(PATHS), "the rest has the readers, and what is left of the writers"


def test_what_the_base_weight_reads_and_writes_is_found_in_its_leading_directions():
    weights = {path: normal(OUT, IN, seed=300 + i).float() for i, path in enumerate(PATHS)}
    spectra = {path: torch.linalg.svd(weight, full_matrices=False) for path, weight in weights.items()}
    edits = [(path, LowRank(A=Vh[:2].contiguous(), B=U[:, :2].contiguous())) for path, (U, _, Vh) in spectra.items()]
    energies = [both(whole(edits, weights), "base", name)[0].energy for name in ("1", "2")]
    assert energies == pytest.approx([0.5, 1.0], abs=1e-5)
    assert both(whole(weights=weights), "base", "2")[0].energy < 0.2


@pytest.mark.parametrize("form", KNOWN["form"])
def test_each_parameterisation_finds_its_own_delta_whole_and_others_hardly(form):
    wide = 2 * BLOCK
    weights = {path: normal(80, wide, seed=300 + i).float() for i, path in enumerate(PATHS[:4])}
    made = {}
    for i, (path, W) in enumerate(weights.items()):
        skew = torch.zeros(wide, wide, dtype=torch.float64)
        for start in (0, BLOCK):
            G = normal(BLOCK, BLOCK, seed=i + start)
            skew[start : start + BLOCK, start : start + BLOCK] = G - G.T
        plain = {
            "rows": normal(80, 1, seed=i) * W,
            "columns": W * normal(1, wide, seed=i),
            "rotation": W.double() @ skew,
        }
        made[path] = Dense(plain[form].float())
    kept = {name: both(whole(list(made.items()), weights), "form", name)[0] for name in KNOWN["form"]}
    energies = {name: part.energy if part else 0.0 for name, part in kept.items()}  # rotations change no row's length
    assert energies.pop(form) == pytest.approx(1, abs=1e-5)
    assert max(energies.values()) < 0.25, (
        "a rotation has 19 % of any delta, as it has so many of the degrees of freedom"
    )


def test_names_are_those_that_a_delta_has():
    delta = whole()
    assert names_of(delta, "layer", (), 0) == [str(layer) for layer in range(9, 15)]
    assert names_of(delta, "rank", (), 0) == ["1", "2"], "powers of 2 below its own rank of 4: never a share of a width"
    assert names_of(delta, "shared", (8, 32), 0) == ["8", "32"]
    assert names_of(delta, "random", (), 3) == ["0", "1", "2"]
    assert names_of(delta, "random_module", (), 3) == ["q_proj", "o_proj", "up_proj", "down_proj"]
    assert names_of(delta, "directions", (), 3) == ["equal"]


def test_what_is_no_weight_delta_cannot_be_cut():
    with pytest.raises(
        SteerdoseError, match=r"'mean_diff' is no weight delta: it edits what model\.layers\.3 puts out"
    ):
        whole_of(Steering("mean_diff", (("model.layers.3", Add(normal(OUT, seed=1).float())),), {}))


def added(*, seed=1):
    """A direction added behind block 10."""
    return whole_of(
        Steering("mean_diff", (("model.layers.10", Add(normal(OUT, seed=seed).float())),), {}), directions=True,
        bases={"mlp_write.10": orthonormal(5), "elsewhere.9": orthonormal(6)}, draw=("m", "b", 0),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["mlp_write-2", "random1-3"])
def test_an_added_direction_is_projected_and_what_is_left_is_orthogonal(name):
    delta = added()
    keep, drop = (cut(delta, "subspace", name, side).kept[0][1].v for side in (False, True))
    torch.testing.assert_close(keep + drop, delta.edits[0][1].v)
    assert float(keep @ drop) == pytest.approx(0, abs=1e-5)
    if name == "mlp_write-2":
        Q = delta.bases["mlp_write.10"][:, :2]
        torch.testing.assert_close(keep, Q @ (Q.T @ delta.edits[0][1].v))


def test_own_directions_are_the_best_of_their_width_and_random_ones_the_same_again():
    delta = whole()
    energy = {name: cut(delta, "subspace", name, drop=False).energy for name in ("own-2", "mlp_write-2", "random0-2")}
    assert energy["own-2"] > max(energy["mlp_write-2"], energy["random0-2"])
    assert cut(whole(), "subspace", "random0-2", drop=False).energy == energy["random0-2"]
    assert cut(whole(), "subspace", "random1-2", drop=False).energy != energy["random0-2"]
    written = cut(delta, "subspace", "written", drop=False)
    assert {path for path, _ in written.kept} == {path for path in PATHS if is_writer(path)}


def test_hypotheses_are_those_of_the_file_and_unknown_ones_are_named():
    assert names_of(added(), "subspace", (2,), 2) == [
        "written", "mlp_write-2", "elsewhere-2", "own-2", "random0-2", "random1-2"
    ]  # fmt: skip
    with pytest.raises(SteerdoseError, match="no hypothesis mlp_wrte, or it is not applicable"):
        cut(added(), "subspace", "mlp_wrte-2", drop=False)
    keep, drop = both(added(), "subspace", "elsewhere-2")  # it has no basis at this block, so nothing lies in it
    assert keep is None
    assert drop.energy == 1


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
    assert role(whole(), path) == roles
