"""What an adapter changes in the weights: PEFT's own merge, on every architecture, and what is no weight delta."""

import peft
import pytest
import tiny
import torch
from adapter_examples import IDS, entry, pairs
from safetensors.torch import load_file, save_file
from steerdose.errors import SteerdoseError
from steerdose.make.adapters import attach, target_modules, train, training_examples
from steerdose.make.delta import combine, factorise
from steerdose.make.merged import AdapterDelta
from steerdose.model.experts import open_experts
from steerdose.steering.edits import Dense, LowRank
from steerdose.steering.self_test import check_steering
from steerdose.steering.steering import Steering, steer


def random_adapter(folder, seed, **options):
    """A saved LoRA with random factors, not trained."""
    torch.manual_seed(seed)
    model = tiny.model()
    wrapped = attach(model, "lora", entry(options={**entry().options, **options}))
    torch.manual_seed(seed)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data = 0.05 * torch.randn_like(parameter)
    wrapped.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"use_rslora": True}])
def test_the_delta_is_what_peft_merges_and_steers_the_same(tmp_path, options):
    base = tiny.model()
    positive, negative = (AdapterDelta(base, random_adapter(tmp_path / str(seed), seed, **options)) for seed in (1, 2))
    deltas = {path: positive[path] - negative[path] for path in positive}
    assert sorted(deltas) == sorted(target_modules(base, entry().target_modules, (0.0, 0.7)))
    edits, _ = combine(positive, negative, "difference")
    assert edits.keys() == deltas.keys()
    assert {type(edit) for edit in edits.values()} == ({Dense} if "use_dora" in options else {LowRank})
    for path, edit in edits.items():
        dense = edit.dW if isinstance(edit, Dense) else edit.B.double() @ edit.A.double()
        assert (dense - deltas[path]).norm() <= 2e-6 * deltas[path].norm()
        assert isinstance(edit, Dense) or edit.A.shape[0] == 4  # twice the rank of each adapter
    merged = tiny.model()
    for path, delta in deltas.items():
        merged.get_submodule(path).weight.data += 1.5 * delta.float()
    with torch.inference_mode(), steer(base, Steering("lora", tuple(edits.items()), {}), 1.5):
        torch.testing.assert_close(base(IDS).logits, merged(IDS).logits, atol=1e-4, rtol=1e-4)


def test_an_untrained_pair_is_refused(tmp_path):
    model = tiny.model()
    attach(model, "lora", entry()).save_pretrained(tmp_path / "untrained")
    untrained = AdapterDelta(tiny.model(), tmp_path / "untrained")
    with pytest.raises(SteerdoseError, match="untrained changes nothing; train it longer"):
        combine(AdapterDelta(tiny.model(), random_adapter(tmp_path / "other", 1)), untrained, "positive")
    with pytest.raises(SteerdoseError, match="cannot load the adapter"):
        AdapterDelta(tiny.model(), tmp_path / "missing")


def lora_on(folder, model, *modules):
    """A saved LoRA with random factors on the named modules of any model."""
    wrapped = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", target_modules=list(modules), r=2))
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data = 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    return folder


@pytest.mark.parametrize("kind", tiny.WRITERS)
def test_on_every_architecture_an_adapter_trains_and_its_delta_steers_as_it_does(tmp_path, kind):
    path = tiny.WRITERS[kind].replace("mixer.out_proj", "mixer.in_proj")  # PEFT adapts no other of Mamba
    method = entry(target_modules=[path.rsplit(".", 1)[-1]], layer_range=[0.0, 1.0])
    loaded = tiny.loaded(kind)
    examples = training_examples(loaded.tokenizer, pairs(), "positive", 64)
    tuned, losses = train(loaded, "lora", method, examples[:6], examples[6:], 0, tmp_path / "adapter")
    assert losses["loss"].is_finite().all()
    tuned.save_pretrained(tmp_path / "saved")
    base = tiny.model(kind)
    deltas = AdapterDelta(base, tmp_path / "saved")
    assert path in deltas
    edits = tuple((place, factorise(delta)) for place, delta in deltas.items())
    with torch.inference_mode():
        wanted, plain = tuned.eval()(IDS).logits, base(IDS).logits
        with steer(base, Steering("lora", edits, {}), 1.0):
            torch.testing.assert_close(base(IDS).logits, wanted, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(wanted, plain, atol=1e-4), "the training must do something"


@pytest.mark.parametrize("kind", ["qwen3_moe", "mixtral", "gpt_oss", "deepseek_v3", "qwen3_next"])
def test_every_expert_has_a_delta_of_its_own(tmp_path, kind):
    """Held against transformers' own fused experts, with the deltas written into their tensors by hand."""
    loaded, method = tiny.loaded(kind), entry(target_modules=["gate_up_proj", "down_proj"], layer_range=[0.5, 1.0])
    open_experts(loaded.model)
    examples = training_examples(loaded.tokenizer, pairs(), "positive", 64)
    train(loaded, "lora", method, examples[:6], examples[6:], 0, tmp_path / "adapter")
    base = tiny.model(kind)
    open_experts(base)
    deltas = {path: each for path, each in AdapterDelta(base, tmp_path / "adapter").items() if ".experts." in path}
    assert len(deltas) >= 4  # of four experts, of which a text may miss some
    written, plain = tiny.model(kind), tiny.model(kind)
    for path, delta in deltas.items():
        experts, index, name = path.rsplit(".", 2)
        fused = written.get_submodule(experts)
        getattr(fused, name).data[int(index)] += (delta.T if fused.is_transposed else delta).float()
    steering = Steering("lora", tuple((path, factorise(delta)) for path, delta in deltas.items()), {})
    rows = IDS.repeat(3, 1)
    with torch.inference_mode():
        before, wanted = plain(rows).logits, written(rows).logits
        with steer(plain, steering, torch.tensor([0.0, 1.0, 1.0])):
            steered = plain(rows).logits
        assert torch.equal(plain(rows).logits, before)
        check_steering(plain, steering, IDS[0].tolist())
    torch.testing.assert_close(steered[:1], before[:1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(steered[1:], wanted[1:], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(wanted, before, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "module", "said"),
    [
        ("mamba", "out_proj", "methods.lora: PEFT cannot attach LORA"),
        ("llama", "gate_up_proj", "do not exist in LlamaForCausalLM's blocks; it has"),
    ],
)
def test_what_cannot_be_trained_or_steered_says_why_in_one_line(tmp_path, kind, module, said):
    with pytest.raises(SteerdoseError, match=said) as caught:
        attach(tiny.model(kind), "lora", entry(target_modules=[module], layer_range=[0.0, 1.0])).save_pretrained(
            tmp_path
        )
        AdapterDelta(tiny.model(kind), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "module"), [("llama", "q_proj"), ("gemma3", "q_proj"), ("gpt2", "c_attn")])
def test_one_adapted_module_at_a_time_is_formed_in_double_precision(tmp_path, monkeypatch, kind, module):
    folder, base = lora_on(tmp_path / "a", tiny.model(kind), module), tiny.model(kind)
    sizes, double = [], torch.Tensor.double

    def counted(tensor):
        sizes.append(tensor.numel())
        return double(tensor)

    monkeypatch.setattr(torch.Tensor, "double", counted)
    deltas = AdapterDelta(base, folder)
    weights = {path: base.get_submodule(path).weight for path in deltas}
    assert set(weights) == {path for path, _ in base.named_modules() if path.endswith(f".{module}")}
    assert not sizes
    for path, weight in weights.items():
        sizes.clear()
        deltas[path]
        assert max(sizes) == weight.numel()
        assert sum(sizes) < 4 * weight.numel(), "no other module's"
    assert max(sizes) < base.get_input_embeddings().weight.numel(), "the embedding is the largest of all"


@pytest.mark.parametrize(("kind", "module"), [("gpt2", "lm_head"), ("gpt2", "wte"), ("llama", "embed_tokens")])
def test_an_adapter_of_an_embedding_or_of_a_head_that_is_one_is_refused(tmp_path, kind, module):
    folder, base = lora_on(tmp_path / "a", tiny.model(kind), module), tiny.model(kind)
    with pytest.raises(SteerdoseError, match=rf"changes \S*{module}\S*; only weights of linear layers can be steered"):
        AdapterDelta(base, folder)
    untouched = dict(tiny.model(kind).named_parameters())
    for name, parameter in base.named_parameters():
        assert torch.equal(parameter, untouched[name]), name


@pytest.mark.parametrize("change", [0.0, 0.1])
def test_an_adapter_that_brings_parameters_of_the_base_may_not_change_them(tmp_path, change):
    """As `save_embedding_layers` and `bias: all` of PEFT make them: loading writes over the model's own."""
    folder, base = lora_on(tmp_path / "a", tiny.model("gpt2"), "c_attn"), tiny.model("gpt2")
    path, prefix = folder / "adapter_model.safetensors", "base_model.model.transformer."
    for name in ("wte.weight", "h.0.ln_1.bias"):
        own = base.transformer.get_parameter(name).detach() + change
        plain = load_file(path)
        save_file({**plain, prefix + name: own}, path)
        if change:
            with pytest.raises(SteerdoseError, match=rf"changes \S*{name}; only weights of linear layers"):
                AdapterDelta(base, folder)
        else:
            assert len(AdapterDelta(base, folder)) == 3
        untouched = dict(tiny.model("gpt2").named_parameters())
        assert all(torch.equal(parameter, untouched[key]) for key, parameter in base.named_parameters())
        save_file(plain, path)


def test_a_head_of_its_own_is_a_linear_layer_like_others(tmp_path):
    base = tiny.model()
    deltas = AdapterDelta(base, lora_on(tmp_path / "a", tiny.model(), "lm_head"))
    assert {path: delta.shape for path, delta in deltas.items()} == {"lm_head": (258, 32)}
    assert torch.equal(base.lm_head.weight, tiny.model().lm_head.weight)


def test_a_layer_that_was_trained_whole_has_the_delta_of_its_weights(tmp_path):
    options = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], modules_to_save=["lm_head"], r=2)
    wrapped = peft.get_peft_model(tiny.model(), options)
    for name, parameter in wrapped.named_parameters():
        if "modules_to_save" in name:
            parameter.data += 0.25
    wrapped.save_pretrained(tmp_path)
    base = tiny.model()
    deltas = AdapterDelta(base, tmp_path)
    assert [path for path in deltas if not path.endswith("q_proj")] == ["lm_head"]
    torch.testing.assert_close(deltas["lm_head"], torch.full((258, 32), 0.25, dtype=torch.float64), atol=1e-6, rtol=0)
    assert torch.equal(base.lm_head.weight, tiny.model().lm_head.weight)


def test_a_family_that_cannot_be_merged_is_named(tmp_path):
    attach(tiny.model(), "lily", entry(peft_type="LILY", options={})).save_pretrained(tmp_path / "lily")
    with pytest.raises(SteerdoseError, match="PEFT cannot merge the LILY adapter in .*choose another peft_type"):
        dict(AdapterDelta(tiny.model(), tmp_path / "lily"))
