"""The view of a model against the model itself: what its readers and writers compute in a forward pass."""

import pytest
import tiny
import torch
import transformers
from steerdose.errors import SteerdoseError
from steerdose.model.residual import Heads, residual_view
from transformers import AutoModelForCausalLM

SIZES = {"vocab_size": 258, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
WIDE = {**SIZES, "num_key_value_heads": 2, "intermediate_size": 64, "head_dim": 16}
CONFIGS = {
    "qwen2": lambda: transformers.Qwen2Config(**SIZES, num_key_value_heads=2, intermediate_size=64),
    "qwen3": lambda: transformers.Qwen3Config(**WIDE),
    "gemma": lambda: transformers.GemmaConfig(**WIDE),
    "gemma2": lambda: transformers.Gemma2Config(**WIDE),
    "phi3": lambda: transformers.Phi3Config(
        **SIZES, num_key_value_heads=2, intermediate_size=64, pad_token_id=0, eos_token_id=0, bos_token_id=0
    ),
}
KINDS = ("llama", "gpt2", "gpt_neox", "mistral", "gemma3", *CONFIGS)


def model_of(kind):
    if kind not in CONFIGS:
        model = tiny.model(kind)
    else:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(CONFIGS[kind](), dtype=torch.float32).eval()
    torch.manual_seed(1)
    with torch.no_grad():  # gains of one would not show a gain that was forgotten
        for name, weight in model.named_parameters():
            if "norm" in name or "ln_" in name:
                weight.add_(0.3 * torch.randn_like(weight))
            elif name.endswith("bias"):
                weight.add_(0.1 * torch.randn_like(weight))
    return model


def seen(model, paths):
    """Return what goes into and comes out of modules in one forward pass, by path."""
    modules, found = dict(model.named_modules()), {}

    def keep(path):
        def hook(_module, args, kwargs, output):
            given = args[0] if args else kwargs["hidden_states"]
            found[path] = (given[0], (output[0] if isinstance(output, tuple) else output).reshape(given.shape[1], -1))

        return hook

    handles = [modules[path].register_forward_hook(keep(path), with_kwargs=True) for path in paths]
    with torch.inference_mode():
        model(torch.tensor([[5, 80, 120, 33, 7]]))
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_readers_read_the_stream_as_the_model_does(kind):
    """W h / rms(h), with the norm's gain in W: differs from the model's own output by the bias alone."""
    model = model_of(kind)
    view = residual_view(model, tiny.tokenizer())
    modules = dict(model.named_modules())
    eps = eps_of(modules)
    block = view.blocks[1]
    found = seen(model, {path for path, _ in block.sources.values()} | {view.paths[1]})
    stream = found[view.paths[1]][0]
    for role in ("q", "k", "v"):
        path, rows = block.sources[role]
        module, out = modules[path], found[path][1]
        bias = torch.zeros(out.shape[1]) if module.bias is None else module.bias
        own = slice(None) if rows is None else rows
        centred = stream - stream.mean(-1, keepdim=True) if block.norms[role].centred else stream
        scale = (centred.square().mean(-1, keepdim=True) + eps).sqrt()
        shift = shift_of(modules, view.paths[1], module, own)
        expected = out[:, own] - bias[own] - shift
        torch.testing.assert_close(stream / scale @ block.reader(role, folded=True).T, expected, rtol=1e-4, atol=1e-4)


def eps_of(modules):
    norm = next(m for n, m in modules.items() if "norm" in n or "ln_" in n)
    return getattr(norm, "variance_epsilon", getattr(norm, "eps", None))


def shift_of(modules, path, module, own):
    """Return what a LayerNorm's bias adds to a reader's output."""
    norm = next((m for n, m in modules.items() if n in (f"{path}.ln_1", f"{path}.input_layernorm")), None)
    shift = getattr(norm, "bias", None)
    if shift is None:
        return 0.0
    weight = module.weight.T if type(module).__name__ == "Conv1D" else module.weight
    return (weight @ shift)[own]


@pytest.mark.parametrize("kind", KINDS)
def test_writers_add_to_the_stream_what_the_model_adds(kind):
    """What a block adds is the sum of what its writers write, up to biases; post-norms scale it, per token."""
    model = model_of(kind)
    view = residual_view(model, tiny.tokenizer())
    modules = dict(model.named_modules())
    block = view.blocks[1]
    found = seen(model, {path for path, _ in block.sources.values()} | {view.paths[1]})
    stream, out = found[view.paths[1]]
    total = torch.zeros_like(stream)
    for role, weight in block.writers.items():
        path, _ = block.sources[role]
        inside, raw = found[path]
        if f"{view.paths[1]}.post_feedforward_layernorm" in modules:
            total += inside @ weight.T / (raw.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        else:
            bias = modules[path].bias
            total += inside @ weight.T + (0.0 if bias is None else bias)
    torch.testing.assert_close(total, out - stream, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_reads_the_last_state_up_to_its_scale(kind):
    model = model_of(kind)
    view = residual_view(model, tiny.tokenizer())
    found = seen(model, [view.paths[-1]])[view.paths[-1]][1]
    centred = found - found.mean(-1, keepdim=True) if view.final_norm.centred else found
    eps = eps_of(dict(model.named_modules()))
    logits = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() @ view.head(folded=True).T
    with torch.inference_mode():
        expected = model(torch.tensor([[5, 80, 120, 33, 7]])).logits[0]
    cap = getattr(model.config, "final_logit_softcapping", None)
    logits = cap * (logits / cap).tanh() if cap else logits
    difference = (logits - expected) - (logits - expected).mean(0)  # a LayerNorm's bias adds the same to every token
    assert difference.abs().max() < 1e-3 * expected.abs().max()


@pytest.mark.parametrize(("n", "n_kv"), [(4, 4), (4, 2), (4, 1)])
def test_grouped_heads_are_repeated_as_an_explicit_loop_over_heads_does(n, n_kv):
    width, inner = 3, 5
    W_q, W_k = torch.randn(n * width, inner), torch.randn(n_kv * width, inner)
    expected = torch.zeros(inner, inner)
    for h in range(n):
        kv = h // (n // n_kv)
        expected += W_q[h * width : (h + 1) * width].T @ W_k[kv * width : (kv + 1) * width]
    torch.testing.assert_close(W_q.T @ Heads(n, n_kv, width).repeated(W_k), expected)


def test_a_mixture_of_experts_is_refused():
    config = transformers.MixtralConfig(
        **SIZES, num_key_value_heads=2, intermediate_size=32, num_local_experts=2, num_experts_per_tok=1
    )
    with pytest.raises(SteerdoseError, match="mixture of experts"):
        residual_view(AutoModelForCausalLM.from_config(config))


def test_a_model_without_attention_has_no_heads():
    block = residual_view(tiny.model("mamba")).blocks[0]
    assert block.heads is None
