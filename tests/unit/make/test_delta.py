"""Two sides made one steering: modes, geometry and low rank."""

import math

import pytest
import torch
from steerdose.errors import SteerdoseError
from steerdose.make.delta import MODES, Products, angles, factorise
from steerdose.steering.edits import Dense


def test_the_bisector_of_equal_norms_is_the_difference_and_needs_a_common_module():
    a, b = (torch.tensor([row], dtype=torch.float64) for row in ([3.0, 4.0], [0.0, 5.0]))
    assert MODES["bisector"](Products.of({"m": a}, {"m": b})) == pytest.approx((1, -1))
    assert MODES["bisector"](Products.of({"m": a}, {"m": 2 * a})) == pytest.approx((0, 0), abs=0)
    with pytest.raises(SteerdoseError, match="no module in common; use delta: difference"):
        MODES["bisector"](Products.of({"m": a}, {"n": b}))


@pytest.mark.parametrize("rank", [1, 5, 20, 40])
def test_factorising_finds_the_rank_or_stays_dense(rank):
    generator = torch.Generator().manual_seed(rank)
    U, V = (torch.randn(n, rank, generator=generator, dtype=torch.float64) for n in (48, 60))
    edit = factorise(U @ V.T)
    if rank <= 48 * 60 // (48 + 60):
        assert edit.A.shape == (rank, 60)
        assert (edit.B.double() @ edit.A.double() - U @ V.T).norm() <= 2e-6 * (U @ V.T).norm()
    else:
        assert isinstance(edit, Dense)


def test_angles_have_the_closed_forms():
    a, b = torch.tensor([[3.0, 0.0]], dtype=torch.float64), torch.tensor([[0.0, 4.0]], dtype=torch.float64)
    found = angles(Products.of({"m": a}, {"m": b, "n": torch.zeros(1, 1, dtype=torch.float64)}))
    assert found == pytest.approx(
        {
            "norm_positive": 3, "norm_negative": 4, "norm_delta": 5, "norm_drift": 2.5, "cos_anti": 0,
            "asymmetry": 0.75, "drift_ratio": 1, "cos_delta_drift": abs(9 - 16) / 25,
        }
    )  # fmt: skip
    opposite = angles(Products.of({"m": a}, {"m": -a}))
    assert (opposite["cos_anti"], opposite["drift_ratio"]) == pytest.approx((1, 0))
    assert math.isclose(opposite["norm_delta"], 6)
