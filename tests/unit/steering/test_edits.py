"""Every edit: its formula, exactly nothing at 0, finite whatever comes in, fp32 arithmetic."""

import numpy as np
import pytest
import torch
from edit_examples import IN, OUT, example, unit
from hypothesis import given
from hypothesis import strategies as st
from reference.edits import edited_token
from steerdose.errors import SteerdoseError
from steerdose.steering.edits import EDITS, AddS, Gated, Transport
from steerdose.steering.steering import Steering

SEEDS = st.integers(0, 2**31)


def direction_of(edit):
    """One direction (out,) that the edit knows of, for inputs that lie along it."""
    tensors = edit.tensors()
    return next((tensors[name].reshape(-1, OUT)[0] for name in ("v", "b1", "shift", "shifts") if name in tensors), None)


def nasty(edit, dtype=torch.float32):
    """Tokens (1, n, out) that break careless code: zeros, huge and tiny ones, parallel and antiparallel ones."""
    g = torch.Generator().manual_seed(0)
    v = torch.ones(OUT) if direction_of(edit) is None else direction_of(edit)
    rows = [torch.zeros(OUT), -torch.zeros(OUT), torch.randn(OUT, generator=g), v, -v, 1e20 * v, -1e20 * v, 1e-30 * v]
    rows += [torch.full((OUT,), 1e25), torch.full((OUT,), -1e-40), v + 1e-7 * torch.randn(OUT, generator=g)]
    return torch.stack(rows)[None].to(dtype)


@pytest.mark.parametrize("name", EDITS)
@given(seed=SEEDS, c=st.floats(-6, 6))
def test_edits_follow_their_formulas(name, seed, c):
    g, edit = torch.Generator().manual_seed(seed), example(name)
    x, y = torch.randn(2, 3, IN, generator=g), torch.randn(2, 3, OUT, generator=g)
    edited = edit.apply(x, y, torch.tensor(c))
    tensors = {key: tensor.double().numpy() for key, tensor in edit.tensors().items()}
    expected = [
        [edited_token(name, tensors, x[i, j].double().numpy(), y[i, j].double().numpy(), c) for j in range(3)]
        for i in range(2)
    ]
    torch.testing.assert_close(edited.double(), torch.tensor(np.array(expected)), atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("name", EDITS)
@given(seed=SEEDS, rows=st.integers(1, 4), tokens=st.integers(1, 4))
def test_every_edit_works_row_by_row(name, seed, rows, tokens):
    g, edit = torch.Generator().manual_seed(seed), example(name)
    x, y = torch.randn(rows, tokens, IN, generator=g), torch.randn(rows, tokens, OUT, generator=g)
    c = torch.randn(rows, 1, 1, generator=g)
    c[0] = 0
    edited = edit.apply(x, y, c)
    assert torch.equal(edited[0], y[0])
    for row in range(rows):
        alone = edit.apply(x[row : row + 1], y[row : row + 1], c[row].reshape(()))
        torch.testing.assert_close(edited[row : row + 1], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", EDITS)
def test_every_edit_is_nothing_at_0_to_the_last_bit(name, dtype):
    edit = example(name)
    y = nasty(edit, dtype)
    x = torch.zeros(1, y.shape[1], IN, dtype=dtype)
    bits = {torch.float32: torch.int32, torch.bfloat16: torch.int16}[dtype]
    for c in (torch.tensor(0.0), torch.zeros(1, 1, 1), torch.tensor(-0.0)):
        edited = edit.apply(x, y, c)
        assert edited.dtype is dtype
        assert torch.equal(edited.view(bits), y.view(bits)), "the sign of zero counts too"


@pytest.mark.parametrize("c", [1e-30, 0.5, 1.0, -1.0, 3.0, 1e6, -1e6])
@pytest.mark.parametrize("name", EDITS)
def test_no_edit_makes_a_nan(name, c):
    edit = example(name)
    y = nasty(edit)
    x = torch.cat([y, y], -1)[..., :IN]
    assert torch.isfinite(edit.apply(x, y, torch.tensor(c))).all()


@pytest.mark.parametrize("name", EDITS)
def test_bf16_outputs_are_edited_in_fp32(name):
    edit, g = example(name), torch.Generator().manual_seed(1)
    x, y = (torch.randn(2, 3, n, generator=g).bfloat16() for n in (IN, OUT))
    exact = edit.apply(x.float(), y.float(), torch.tensor(0.7))
    assert torch.equal(edit.apply(x, y, torch.tensor(0.7)), exact.bfloat16())


@pytest.mark.parametrize("name", [name for name, kind in EDITS.items() if kind.opposite])
@given(seed=SEEDS, c=st.floats(0.01, 10))
def test_opposite_means_that_the_change_is_reversed(name, seed, c):
    edit, g = example(name), torch.Generator().manual_seed(seed)
    x, y = torch.randn(1, 3, IN, generator=g), torch.randn(1, 3, OUT, generator=g)
    there, back = (edit.change(x, y, torch.tensor(sign * c)) for sign in (1, -1))
    torch.testing.assert_close(there, -back)


@pytest.mark.parametrize("name", ["Turn", "Rotate"])
@given(seed=SEEDS, c=st.floats(-20, 20))
def test_rotations_keep_the_norm(name, seed, c):
    y = torch.randn(1, 3, OUT, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(example(name).apply(y, y, torch.tensor(c)).norm(dim=-1), y.norm(dim=-1))


def test_what_coefficient_1_does():
    y = torch.randn(2, 3, OUT, generator=torch.Generator().manual_seed(1))
    one = torch.tensor(1.0)
    ablate, turn, s = example("Ablate"), example("Turn"), example("AblateS")
    assert (ablate.apply(y, y, one) @ ablate.v).abs().max() < 1e-6
    assert (s.coordinates(s.apply(y, y, one)) @ s.d).abs().max() < 1e-5
    torch.testing.assert_close(unit(turn.apply(y, y, one)), turn.v.expand_as(y), atol=1e-5, rtol=1e-5)


def test_rotation_turns_from_b2_towards_b1():
    edit = example("Rotate")
    turned = edit.apply(edit.b2[None, None], edit.b2[None, None], torch.tensor(torch.pi / 2))
    torch.testing.assert_close(turned[0, 0], edit.b1, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", EDITS)
def test_save_and_load_are_exact(name, tmp_path):
    saved = Steering("m", (("a.b", example(name)),), {"behavior": "none"})
    saved.save(tmp_path / "s.safetensors")
    loaded = Steering.load(tmp_path / "s.safetensors")
    ((path, edit),) = loaded.edits
    assert (loaded.method, path, type(edit), edit.width) == ("m", "a.b", EDITS[name], OUT)
    assert all(torch.equal(tensor, edit.tensors()[key]) for key, tensor in saved.edits[0][1].tensors().items())


def test_zeros_are_refused_only_where_they_leave_no_effect():
    v, zero = unit(torch.ones(OUT)), torch.zeros(OUT)
    s_space = example("AddS").tensors()
    for edit in (
        Gated(v, torch.tensor(0.0)),
        Transport(zero, v),
        Transport(v, zero),
        AddS(**{**s_space, "bias": zero}),
    ):
        Steering("m", (("a", edit),), {})
    for edit in (Gated(zero, torch.tensor(0.1)), Transport(zero, zero), AddS(**{**s_space, "d": torch.zeros(4)})):
        with pytest.raises(SteerdoseError, match="of the edit at a is all zeros"):
            Steering("m", (("a", edit),), {})
