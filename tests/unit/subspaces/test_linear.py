"""Bases against spans that are known, and the published helpers' faults."""

import pytest
import torch
from steerdose.subspaces.linear import (
    beside,
    bisectors,
    gram_beside,
    of_gram,
    of_rows,
    orthonormal,
    overlap,
    union,
)
from subspace_examples import normal


def projector(Q):
    return Q @ Q.T


def same_span(A, B):
    torch.testing.assert_close(projector(A.double()), projector(B.double()), atol=1e-8, rtol=0)


def test_a_gram_gives_the_left_singular_vectors_of_what_it_was_made_of():
    W = normal(20, 60, seed=1).double()
    U, values, _ = torch.linalg.svd(W)
    found = of_gram(W @ W.T, 5)
    same_span(found.Q, U[:, :5])
    torch.testing.assert_close(found.values, values)
    same_span(of_gram(W @ W.T, 4, last=True).Q, U[:, -4:])
    assert found.gap(5) == pytest.approx(float(values[4] / values[5]))
    assert of_gram(W @ W.T, 20).gap(20) is None


def test_centred_rows_lose_the_mean_which_is_the_effect():
    """The regression test of the published ceiling: it scores nothing on what all rows have in common."""
    u = torch.nn.functional.normalize(normal(32, seed=1), dim=0)
    rows = 5 * u + 0.1 * normal(12, 32, seed=2)
    assert (of_rows(rows, 1, centred=False).Q[:, 0] @ u.double()).abs() > 0.99
    assert of_rows(rows, 8, centred=True).Q.T.matmul(u.double()).square().sum() < 0.6


def test_a_direction_that_is_rounding_is_left_out_of_centred_rows():
    rows = normal(8, 32, seed=1)
    assert of_rows(rows, 8, centred=True).Q.shape[1] == 7
    assert of_rows(rows, 8, centred=True, checked=False).Q.shape[1] == 8
    assert of_rows(torch.zeros(4, 8), 3, centred=False).Q.shape[1] == 0


def test_unit_rows_count_alike_however_long_they_are():
    rows = torch.zeros(3, 5)
    rows[0, 0], rows[1, 1], rows[2, 1] = 100.0, 1.0, 1.0
    assert of_rows(rows, 1, centred=False).Q[0].abs() == 1
    assert of_rows(rows, 1, centred=False, unit=True).Q[1].abs() == 1


def test_orthonormal_columns_span_the_same_where_some_repeat():
    a, b = normal(10, seed=1).double(), normal(10, seed=2).double()
    M = torch.stack([a, a, b], 1)
    same_span(orthonormal(M), torch.linalg.qr(torch.stack([a, b], 1).double()).Q)
    small = 1e-6 * torch.stack([a, b], 1)
    assert orthonormal(small).shape[1] == 2
    assert orthonormal(small, checked=False).shape[1] == 0  # as published: an absolute limit
    nested = orthonormal(torch.stack([a, b], 1))
    same_span(nested[:, :1], a[:, None] / a.norm())


def test_what_is_left_beside_a_basis_is_orthogonal_to_it():
    Q = orthonormal(normal(12, 3, seed=1))
    assert (Q.T @ beside(normal(12, 4, seed=2), Q)).abs().max() < 1e-12
    W = normal(12, 40, seed=3).double()
    found = of_gram(gram_beside(W @ W.T, Q), 4).Q
    expected = torch.linalg.svd(beside(W, Q)).U[:, :4]
    same_span(found, expected)


def test_a_union_spans_both_in_either_order_and_takes_turns():
    A, B = orthonormal(normal(16, 3, seed=1)), orthonormal(normal(16, 2, seed=2))
    same_span(union(A, B), union(B, A))
    same_span(union(A, B)[:, :2], orthonormal(torch.stack([A[:, 0], B[:, 0]], 1)))
    assert union(A, A).shape[1] == 3


def test_bisectors_of_a_span_with_itself_are_the_span():
    A = orthonormal(normal(16, 3, seed=1))
    Q, cosines = bisectors(A, A, 3)
    same_span(Q, A)
    torch.testing.assert_close(cosines, torch.ones(3).double())
    assert bisectors(A, A[:, :0], 3)[0].shape[1] == 0


def test_overlap_by_chance_is_the_width_over_that_of_the_stream():
    assert overlap(torch.eye(4)[:, :2], torch.eye(4)[:, :2]) == (1.0, 1.0)
    assert overlap(torch.eye(4)[:, :2], torch.eye(4)[:, :0]) is None
    drawn = [
        overlap(orthonormal(normal(64, 8, seed=i)), orthonormal(normal(64, 8, seed=1000 + i)))[1] for i in range(200)
    ]
    assert sum(drawn) / 200 == pytest.approx(8 / 64, abs=0.005)
