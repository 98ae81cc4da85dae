"""Models whose linear layers are rounded as they are loaded, and adapters that are trained on them."""

import sys

import pytest
import tiny
import torch
from adapter_examples import IDS, entry, pairs
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from engine_examples import END, PROBES, PROMPTS, direction
from peft import PeftModel
from steerdose.engine.fork_grid import fork_times
from steerdose.engine.generate import generate
from steerdose.engine.probe import ForkPlan
from steerdose.engine.requests import Request
from steerdose.engine.speed import measured
from steerdose.errors import SteerdoseError
from steerdose.make.adapters import train, training_examples
from steerdose.make.delta import factorise
from steerdose.make.merged import AdapterDelta
from steerdose.model.loading import load_model
from steerdose.model.sizes import sizes_of
from steerdose.steering.intervention import Intervention
from steerdose.steering.steering import Steering, steer
from steerdose.study.settings import Run
from torchao.quantization import Int8Tensor
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

BITS = ("8bit", "4bit")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.resolved(tmp_path_factory.mktemp("tiny"))


def rounded_layers(model):
    """The numbers that rounded weights stand for, by module path."""
    found = {}
    for path, module in model.named_modules():
        if isinstance(module, Linear4bit):
            found[path] = dequantize_4bit(module.weight.data, module.weight.quant_state)
        elif isinstance(getattr(module, "weight", None), Int8Tensor):
            found[path] = module.weight.dequantize()
    return found


def rolled(loaded, coefficients=(0.0, 1.0, -2.0), batch_size=6):
    steering = direction(loaded.model)
    wanted = [Request(f"p{i}", ids, Intervention(steering, c)) for i, ids in enumerate(PROMPTS) for c in coefficients]
    plan = ForkPlan(PROBES, fork_times(16, count=4))
    return generate(loaded, wanted, window=16, end_ids=END, batch_size=batch_size, plan=plan)


def assert_alike(one, other, abs):
    for a, b in zip(one, other, strict=True):
        assert a.token_ids == b.token_ids
        assert a.kl == pytest.approx(b.kl, abs=abs)
        assert [f.pmass for f in a.forks] == pytest.approx([f.pmass for f in b.forks], abs=abs)


@pytest.mark.parametrize("bits", BITS)
def test_the_linear_layers_of_blocks_alone_are_rounded(folder, bits):
    whole, rounded = load_model(folder), load_model(folder, Run(quantization=bits))
    layers = rounded_layers(rounded.model)
    assert len(layers) == 7 * 3
    assert all(path.startswith("model.layers.") for path in layers)
    assert rounded.model.dtype is torch.float32
    assert sizes_of(rounded.model).weights < 0.75 * sizes_of(whole.model).weights


@pytest.mark.parametrize("bits", BITS)
def test_rounded_weights_are_steered_as_the_numbers_that_they_stand_for(folder, bits):
    """A plain model with the dequantized weights is the independent value."""
    rounded, plain = load_model(folder, Run(quantization=bits)), load_model(folder, train=True)
    for path, W in rounded_layers(rounded.model).items():
        plain.model.get_submodule(path).weight.data.copy_(W)
    assert_alike(rolled(rounded), rolled(plain), abs=1e-4)


def test_four_bits_are_the_same_numbers_on_a_processor_with_kernels_for_bfloat16(monkeypatch, folder):
    found = []
    for has_kernels in (False, True):
        monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda found=has_kernels: found)
        found.append(rolled(load_model(folder, Run(quantization="4bit"))))
    assert_alike(*found, abs=0)


@pytest.mark.parametrize("bits", BITS)
def test_rows_of_a_rounded_model_do_not_depend_on_their_neighbours(folder, bits):
    loaded = load_model(folder, Run(quantization=bits))
    together = rolled(loaded)
    assert_alike(together, rolled(loaded, batch_size=1), abs=1e-4)
    assert {max(each.kl, default=0.0) for each in together[::3]} == {0.0}, "at coefficient 0"


def test_rows_of_llm_int8_do_and_so_it_is_not_what_8_bits_are(folder):
    config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=1.0)  # outliers, of which a tiny model has few
    model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=config, device_map={"": "cpu"}).eval()
    ids = torch.randint(2, 200, (8, 12), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together, alone = (model(part).logits[0].log_softmax(-1) for part in (ids, ids[:1]))
    assert (together - alone).abs().max() > 0.01


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("bits", BITS)
def test_an_adapter_trains_on_rounded_weights_and_its_delta_is_that_of_the_whole_ones(
    tmp_path, folder, bits, precision
):
    loaded, base = load_model(folder, Run(quantization=bits), train=True), load_model(folder, train=True).model
    examples = training_examples(loaded.tokenizer, pairs(), "positive", 64)
    method = entry(training=entry().training.model_copy(update={"precision": precision}))
    train(loaded, "lora", method, examples[:6], examples[6:], 0, tmp_path / "adapter")
    deltas = AdapterDelta(base, tmp_path / "adapter")
    steering = Steering("lora", tuple((path, factorise(delta)) for path, delta in deltas.items()), {})
    rounded = load_model(folder, Run(quantization=bits))
    with torch.inference_mode():
        before = rounded.model(IDS).logits
        with steer(rounded.model, steering, 1.0):
            steered = rounded.model(IDS).logits
    tuned = PeftModel.from_pretrained(rounded.model, str(tmp_path / "adapter")).eval()
    with torch.inference_mode():
        adapted = tuned(IDS).logits
    torch.testing.assert_close(steered, adapted, atol=1e-4, rtol=1e-4)
    assert (adapted - before).abs().max() > 0.1


@pytest.mark.parametrize("bits", BITS)
def test_the_speed_of_a_rounded_model_is_measured(folder, bits):
    found = measured(load_model(folder, Run(quantization=bits)), 4)
    assert found["weights"] < measured(load_model(folder), 4)["weights"]


def test_without_the_extra_a_line_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(SteerdoseError, match=r"needs an extra: pip install -r requirements-quantized\.txt"):
        load_model(folder, Run(quantization="8bit"))
