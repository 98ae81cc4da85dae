"""Loading: fast linear layers where torch has them, and torch's own where it has not."""

import pytest
import tiny
import torch
from steerdose.model.loading import OneDnnLinear, has_onednn, speed_up


@pytest.fixture(autouse=True)
def asked_anew():
    has_onednn.cache_clear()
    yield
    has_onednn.cache_clear()


def another_signature(x, weight, bias, activation):
    return torch.nn.functional.linear(x, weight, bias)


def another_product(x, weight, bias, *_):
    return torch.nn.functional.linear(x, weight)


def no_kernel(*_):
    raise RuntimeError("could not create a primitive")


def fast_layers(model):
    return [module for module in model.modules() if type(module) is OneDnnLinear]


def test_fast_layers_compute_what_torchs_own_do():
    model, ids = tiny.model(), torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        expected = model(ids).logits
        torch.manual_seed(3)
        speed_up(model)
        drawn = torch.rand(1)
        torch.testing.assert_close(model(ids).logits, expected)
    torch.manual_seed(3)
    assert drawn == torch.rand(1), "the trial draws no random numbers"
    assert len(fast_layers(model)) == (7 * 3 + 1 if has_onednn() else 0)


@pytest.mark.parametrize("call", [another_signature, another_product, no_kernel])
def test_a_private_call_that_has_changed_leaves_torchs_own(monkeypatch, caplog, call):
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", call)
    model = tiny.model()
    speed_up(model)
    assert fast_layers(model) == []
    assert "torch's own kernels" in caplog.text


def test_a_private_call_that_is_gone_leaves_torchs_own(monkeypatch, caplog):
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    model = tiny.model()
    speed_up(model)
    assert fast_layers(model) == []
    assert "torch's own kernels" in caplog.text
