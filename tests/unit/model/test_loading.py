"""Loading: where a model lies, and fast linear layers where torch has them."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import tiny
import torch
from accelerate import dispatch_model
from engine_examples import END, PROBES, PROMPTS, direction, low_rank
from steerdose.engine.fork_grid import fork_times
from steerdose.engine.generate import generate
from steerdose.engine.probe import ForkPlan
from steerdose.engine.requests import Request
from steerdose.errors import SteerdoseError
from steerdose.model.loading import OneDnnLinear, has_onednn, load_model, speed_up
from steerdose.steering.intervention import Intervention
from steerdose.study.settings import Run


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


def test_a_model_whose_blocks_lie_in_several_places_rolls_out_as_in_one(tmp_path):
    """Of several GPUs accelerate makes what it makes here of a disk: hooks that carry states to where weights are."""
    whole, spread = tiny.loaded(), tiny.loaded()
    places = {"model.embed_tokens": "cpu", "model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu"}
    blocks = {f"model.layers.{i}": place for i, place in enumerate(("cpu", "disk", "disk"))}
    model = dispatch_model(spread.model, {**places, **blocks}, main_device="cpu", offload_dir=tmp_path)
    assert model.model.layers[1].mlp.down_proj.weight.device.type == "meta"
    found = []
    for loaded in (whole, replace(spread, model=model)):
        for steering in (direction(whole.model), low_rank(tiny.model(), "model.layers.2.mlp.down_proj")):
            wanted = [
                Request(f"p{i}", ids, Intervention(steering, c)) for i, ids in enumerate(PROMPTS) for c in (0.0, 2.0)
            ]
            plan = ForkPlan(PROBES, fork_times(12, count=3))
            found.append(generate(loaded, wanted, window=12, end_ids=END, batch_size=4, plan=plan))
    assert found[:2] == found[2:]


@pytest.mark.parametrize("device", ["balanced", "cuda:0"])
def test_a_gpu_that_is_not_there_is_a_line(tmp_path, device):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(SteerdoseError, match=f"device is '{device}', but torch sees no GPU"):
        load_model(tiny.resolved(tmp_path), Run(device=device))


@pytest.mark.skipif(not has_onednn(), reason="this build of torch has no oneDNN")
def test_a_packed_weight_is_used_only_while_it_is_the_layers_own():
    model = tiny.model()
    speed_up(model)
    layer, x = model.model.layers[0].mlp.down_proj, torch.randn(3, 64)
    assert layer.packed is not None
    with torch.inference_mode():
        before = layer(x)
        kept, layer.weight = layer.weight, torch.nn.Parameter(2 * layer.weight)
        torch.testing.assert_close(layer(x), 2 * before)
        layer.weight = kept
        assert torch.equal(layer(x), before)
        torch.testing.assert_close(copy.deepcopy(layer)(x), before)
    layer.weight.data.mul_(3)
    with torch.no_grad():
        layer.weight.mul_(2)
        torch.testing.assert_close(layer(x), 6 * before)


def test_weights_that_would_take_too_much_of_the_memory_are_not_packed(monkeypatch):
    monkeypatch.setattr("steerdose.model.loading.psutil.virtual_memory", lambda: SimpleNamespace(available=1000))
    model = tiny.model()
    speed_up(model)
    assert all(layer.packed is None for layer in fast_layers(model))
