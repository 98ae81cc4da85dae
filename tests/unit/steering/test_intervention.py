"""An intervention: what it says of itself, and several steerings active at once, a row each."""

import pytest
import tiny
import torch
from steerdose.model.architecture import find_blocks
from steerdose.steering.edits import Ablate, Add
from steerdose.steering.intervention import (
    UNSTEERED,
    Intervention,
    activate,
    coefficient_of,
    prompted_at,
    sign_of,
    steerings_of,
)
from steerdose.steering.steering import Steering, steer

IDS = torch.tensor([[5, 6, 7, 8]] * 4)


@pytest.mark.parametrize(
    ("alpha", "sign", "expected"), [(0, "positive", 0), (1.5, "positive", 3), (-2, "negative", -10)]
)
def test_a_dose_is_a_multiple_of_its_signs_c_star(alpha, sign, expected):
    assert sign_of(alpha) == sign
    assert coefficient_of(alpha, {"positive": {"c_star": 2.0}, "negative": {"c_star": 5.0}}) == expected


def test_a_prompt_has_no_dose():
    with pytest.raises(ValueError, match=r"alphas -1, 0 and 1, found \[1, 1.5\]"):
        prompted_at([1, 1.5], {"positive": "Be honest.", "negative": "Lie."})


def two_steerings(model):
    v = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    block = find_blocks(model)[1]
    return (
        Steering("add", ((block, Add(v[0])),), {}),
        Steering("ablate", ((block, Ablate(v[1] / v[1].norm())),), {}),
    )


def test_what_is_plain():
    steering, _ = two_steerings(tiny.model())
    assert UNSTEERED.is_plain
    assert Intervention(steering, 0.0, alpha=0.0).is_plain
    assert not Intervention(steering, -1.0).is_plain
    assert not Intervention(system="Lie.").is_plain
    with pytest.raises(ValueError, match="a coefficient needs a steering"):
        Intervention(None, 1.0)


def test_each_row_has_its_own_steering_and_the_others_do_not_touch_it():
    model = tiny.model()
    add, ablate = two_steerings(model)
    rows = [Intervention(add, 2.0), UNSTEERED, Intervention(ablate, 1.0), Intervention(add, -0.5)]
    assert steerings_of(rows) == [add, ablate]
    with torch.inference_mode():
        plain = model(IDS).logits
        with steer(model, add, torch.tensor([2.0, 0.0, 0.0, -0.5])):
            added = model(IDS).logits
        with steer(model, ablate, torch.tensor([0.0, 0.0, 1.0, 0.0])):
            ablated = model(IDS).logits
        with activate(model, steerings_of(rows)) as dials:
            assert torch.equal(model(IDS).logits, plain), "at 0 until turned"
            dials.turn(dials.coefficients(rows, "prompt"))
            mixed = model(IDS).logits
    assert torch.equal(mixed[[0, 1, 3]], added[[0, 1, 3]])
    assert torch.equal(mixed[2], ablated[2])
    assert torch.equal(mixed[1], plain[1])
    assert not any(module._forward_hooks for module in model.modules())


def test_without_a_steering_there_is_nothing_to_turn():
    with activate(tiny.model(), []) as dials:
        assert dials.coefficients([UNSTEERED] * 3, "prompt").shape == (0, 3)
        dials.turn(dials.coefficients([UNSTEERED] * 3, "prompt"))
