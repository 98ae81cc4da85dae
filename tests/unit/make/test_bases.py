"""Bases that families share: against the closed form on planted subspaces, and no family is heard for being loud."""

import pytest
import torch
from steerdose.columns import Cell
from steerdose.declarations.ablations import ANGLES
from steerdose.errors import SteerdoseError
from steerdose.files import read_table
from steerdose.make.bases import load_bases, share_bases
from steerdose.steering.edits import Dense, LowRank, matrix
from steerdose.steering.steering import Steering
from steerdose.study.settings import ShareBases

WIDTH, IN = 16, 10
PATHS = [f"model.layers.{layer}.{name}" for layer in (3, 4) for name in ("self_attn.o_proj", "mlp.down_proj")]


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthonormal(seed, columns):
    return torch.linalg.qr(normal(WIDTH, columns, seed=seed)).Q


def family(basis, seed, scale=1.0, paths=PATHS):
    """Writers that write into the span of a basis alone."""
    edits = [
        (p, LowRank(A=normal(basis.shape[1], IN, seed=seed + i).float(), B=(scale * basis).float()))
        for i, p in enumerate(paths)
    ]
    return Steering("x", tuple(edits), {})


@pytest.fixture
def shared(tmp_path):
    def run(families, widths=(2,), columns=4):
        files = []
        for name, each in families.items():
            files.append(str(tmp_path / f"{name}.safetensors"))
            each.save(files[-1])
        share_bases(
            steerings=files, cell=Cell("m", "b", 0),
            settings=ShareBases(methods=tuple(families), widths=widths, columns=columns),
            bases=str(tmp_path / "bases.safetensors"), angles=str(tmp_path / "angles.parquet"),
        )  # fmt: skip
        return load_bases(str(tmp_path / "bases.safetensors")), read_table(tmp_path / "angles.parquet", ANGLES)

    return run


def captured(Q, basis):
    """The share of a basis that lies in the span of Q."""
    return float((Q.T.double() @ basis).square().sum() / basis.shape[1])


def test_what_all_families_write_comes_first_and_what_the_others_write_leaves_one_out(shared):
    common, own = orthonormal(1, 2), orthonormal(2, 2)
    families = {"a": family(common, 0), "b": family(common, 50), "c": family(own, 90)}
    bases, _ = shared(families)
    for layer in (3, 4):
        assert captured(bases[f"shared.{layer}"][:, :2], common) > 0.85
        assert captured(bases[f"without.c.{layer}"][:, :2], common) == pytest.approx(1, abs=1e-5)
        assert captured(bases[f"top.c.{layer}"][:, :2], own) == pytest.approx(1, abs=1e-5)
        for name in ("shared", "without.a", "top.c", "tail.c", "random"):
            Q = bases[f"{name}.{layer}"].double()
            torch.testing.assert_close(Q.T @ Q, torch.eye(Q.shape[1], dtype=torch.float64), atol=1e-6, rtol=0)


def test_a_loud_family_does_not_decide_what_is_shared(shared):
    """The flaw of the published basis, which was close to the loudest family's own."""
    common, loud = orthonormal(1, 2), orthonormal(2, 2)
    families = {
        "a": family(common, 0),
        "b": family(common, 50),
        "c": family(common, 70),
        "loud": family(loud, 90, scale=1e3),
    }
    bases, _ = shared(families)
    assert captured(bases["shared.3"][:, :2], common) > 0.9
    stacked = torch.cat([matrix(dict(each.edits)[path]) for each in families.values() for path in PATHS[:2]], 1)
    naive = torch.linalg.svd(stacked).U[:, :2]
    assert captured(naive, loud) > 0.99, "without the norms the loud one would be it"


def test_factors_and_whole_matrices_give_the_same_bases(shared):
    low = family(orthonormal(1, 3), 0)
    dense = Steering("x", tuple((path, Dense(matrix(edit).float())) for path, edit in low.edits), {})
    bases, angles = shared({"low": low, "dense": dense}, widths=(3,))
    own = angles.filter(method="low", against="dense")
    assert own["overlap"].to_list() == pytest.approx([1, 1], abs=1e-5)
    assert captured(bases["top.low.3"][:, :3], bases["top.dense.3"][:, :3].double()) == pytest.approx(1, abs=1e-5)


def test_angles_are_those_of_known_planes_and_chance_is_that_of_random_ones(shared):
    e = torch.eye(WIDTH, dtype=torch.float64)
    a = torch.stack([e[0], e[1]], 1)
    b = torch.stack([e[0], (e[1] + e[2] * 3**0.5) / 2], 1)  # 60 degrees from the second
    _, angles = shared({"a": family(a, 0), "b": family(b, 50)})
    row = angles.filter(layer=3, method="a", against="b").row(0, named=True)
    assert row["overlap"] == pytest.approx((1 + 0.25) / 2, abs=1e-5)
    assert (row["smallest"], row["largest"]) == (pytest.approx(0, abs=0.1), pytest.approx(60, abs=0.1))
    assert row["chance"] == 2 / WIDTH
    draws = [captured(orthonormal(10 + i, 2), orthonormal(500 + i, 2)) for i in range(400)]
    assert sum(draws) / 400 == pytest.approx(row["chance"], abs=0.015)


def test_families_that_write_nothing_have_no_basis(shared):
    readers = family(orthonormal(1, 2), 0, paths=["model.layers.3.self_attn.q_proj"])
    with pytest.raises(SteerdoseError, match=r"none of \['a'\] changes a module that writes to the residual stream"):
        shared({"a": readers})
    bases, _ = shared({"a": readers, "b": family(orthonormal(2, 2), 50)})
    assert "top.a.3" not in bases
    assert "top.b.3" in bases
