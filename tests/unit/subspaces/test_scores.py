"""Recovery against its bounds, its chance against draws of whole bases, and planted labels."""

import numpy as np
import pytest
import torch
from steerdose.subspaces.linear import of_rows, orthonormal
from steerdose.subspaces.scores import (
    basis_beside,
    best,
    chance_draws,
    chance_variance,
    effective_dimension,
    excess,
    label_beside,
    mean_of,
    of_delta,
    of_differences,
    recovery,
)
from subspace_examples import normal

D = 48


def random_bases(r, draws, width=D):
    X = np.random.default_rng(0).standard_normal((draws, width, r))
    return np.linalg.qr(X)[0]


def drawn_recoveries(factor, r, draws, width=D):
    """Return R of whole random bases: the slow way."""
    F = factor.numpy()
    energy = np.einsum("nwr,wv->nrv", random_bases(r, draws, width), F)
    return (energy**2).sum((1, 2)) * width / r


LABELS = {
    "one direction": of_delta(normal(D, 1, seed=1)),
    "a few": of_differences(normal(6, D, seed=2) + 2 * normal(1, D, seed=3)),
    "many": of_delta(normal(D, 30, seed=4)),
}


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("r", [1, 8])
def test_chance_is_one_with_the_variance_of_the_closed_form(name, r):
    found = drawn_recoveries(LABELS[name], r, 20000)
    assert found.mean() == pytest.approx(1, abs=4 * found.std() / 20000**0.5)
    assert found.var() == pytest.approx(chance_variance(LABELS[name], r), rel=0.1)


@pytest.mark.parametrize("name", LABELS)
def test_the_reduced_draws_are_distributed_as_whole_bases_are(name):
    reduced = chance_draws(LABELS[name], 8, 20000, np.random.default_rng(1))
    whole = drawn_recoveries(LABELS[name], 8, 20000)
    for q in (0.05, 0.5, 0.95, 0.99):
        assert np.quantile(reduced, q) == pytest.approx(np.quantile(whole, q), rel=0.05)


def test_a_label_of_nearly_all_directions_is_drawn_in_full():
    label = of_delta(normal(D, 45, seed=1))
    found = chance_draws(label, 16, 4000, np.random.default_rng(0))
    assert found.mean() == pytest.approx(1, abs=4 * found.std() / 4000**0.5)
    assert found.var() == pytest.approx(chance_variance(label, 16), rel=0.1)


def test_the_whole_space_recovers_exactly_once_and_the_best_basis_most():
    label = LABELS["a few"]
    assert recovery(label, torch.eye(D)) == pytest.approx(1)
    values = torch.linalg.svdvals(label).square()
    most = recovery(label, best(label, 3))
    assert most == pytest.approx(float(values[:3].sum()) * D / 3)
    assert all(drawn_recoveries(label, 3, 500) <= most + 1e-9)


def test_a_planted_direction_is_recovered_in_full():
    u, v = normal(D, seed=1), normal(60, seed=2)
    Q = orthonormal(torch.cat([normal(D, 3, seed=3), u[:, None]], 1))
    assert recovery(of_delta(torch.outer(u, v)), Q) == pytest.approx(D / 4)
    rows = torch.outer(torch.tensor([1.0, -2.0, 3.0]), u)
    assert recovery(of_differences(rows), Q) == pytest.approx(D / 4)
    noisy = u + 0.05 * normal(3, D, seed=4)
    assert recovery(of_differences(noisy), of_rows(noisy, 2, centred=True).Q) < 0.2 * D / 2


def test_scores_do_not_depend_on_scale_or_on_a_rotation_of_everything():
    rows, Q = normal(5, D, seed=1), orthonormal(normal(D, 4, seed=2))
    turn = torch.linalg.qr(normal(D, D, seed=3).double()).Q
    expected = recovery(of_differences(rows), Q)
    assert recovery(of_differences(rows * torch.tensor([1.0, 5, 0.1, 3, 2])[:, None]), Q) == pytest.approx(expected)
    assert recovery(of_differences(rows.double() @ turn.T), turn @ Q) == pytest.approx(expected)
    M = normal(D, 7, seed=4)
    assert recovery(of_delta(9 * M), Q) == pytest.approx(recovery(of_delta(M), Q))


def test_several_labels_together_have_the_mean_of_their_scores():
    one, other, Q = (
        of_delta(normal(D, 3, seed=1)),
        of_delta(9 * normal(D, 20, seed=2)),
        orthonormal(normal(D, 4, seed=3)),
    )
    both = mean_of([one, other])
    assert recovery(both, Q) == pytest.approx((recovery(one, Q) + recovery(other, Q)) / 2)


def test_a_zero_label_is_none_and_a_zero_row_does_not_count():
    assert of_differences(torch.zeros(3, D)) is None
    assert of_delta(torch.zeros(D, 4)) is None
    rows = normal(3, D, seed=1)
    Q = orthonormal(normal(D, 4, seed=2))
    with_zero = of_differences(torch.cat([rows, torch.zeros(2, D)]))
    assert recovery(with_zero, Q) == pytest.approx(recovery(of_differences(rows), Q))


def test_the_effective_dimension_of_equal_directions_is_their_number_and_never_more_than_the_rank():
    assert effective_dimension(of_delta(torch.eye(D)[:, :5])) == pytest.approx(5)
    M = normal(D, 6, seed=1) @ normal(6, 90, seed=2)
    assert effective_dimension(of_delta(M)) <= 6


def test_specific_recovery_is_of_what_no_prompt_does_anyway():
    """Rows along a clean direction and one of their own: beside the clean one the other is all that is left."""
    clean = orthonormal(normal(D, 2, seed=1))
    own = beside_unit(normal(D, seed=2), clean)
    rows = 10 * normal(4, 2, seed=3) @ clean.T.float() + own
    left, label = basis_beside(torch.cat([clean[:, :1], own[:, None].double()], 1), clean), label_beside(rows, clean)
    assert (left.shape[1], recovery(label, left, D - 2)) == (1, pytest.approx(D - 2))
    assert basis_beside(clean, clean).shape[1] == 0
    assert label_beside(normal(4, 2, seed=3).double() @ clean.T, clean) is None


def beside_unit(v, Q):
    left = v.double() - Q @ (Q.T @ v.double())
    return (left / left.norm()).float()


def test_specific_chance_has_the_width_that_is_left():
    clean = orthonormal(normal(D, 8, seed=1))
    rows = normal(5, D, seed=2)
    left = of_differences(rows.double() - rows.double() @ clean @ clean.T)
    bases = [orthonormal(torch.from_numpy(each)) for each in random_bases(4, 3000)]
    label = label_beside(rows, clean)
    found = np.array([recovery(label, basis_beside(Q, clean), D - 8) for Q in bases])
    assert found.mean() == pytest.approx(1, abs=4 * found.std() / len(found) ** 0.5)
    assert found.var() == pytest.approx(chance_variance(left, 4, D - 8), rel=0.1)


def test_excess_is_nothing_for_chance_and_one_for_the_best():
    assert excess(1.0, 9.0) == 0
    assert excess(9.0, 9.0) == 1
    assert excess(1.0, 1.0) is None
