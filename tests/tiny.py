"""Random tiny models with a byte tokenizer, made locally; and the config overlay of a study that runs in seconds."""

from pathlib import Path

import torch
import transformers
from steerdose.files import write_json
from steerdose.model.loading import LoadedModel
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

torch.set_num_threads(1)  # tiny tensors gain nothing from two, and lose much when the cores are busy

SPECIAL = ["<|end|>", "<|start|>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
SIZES = {"vocab_size": 258, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
LLAMA_SIZES = {**SIZES, "num_key_value_heads": 2, "intermediate_size": 64, "head_dim": 8, "initializer_range": 0.3}
PLAIN_SIZES = {name: value for name, value in LLAMA_SIZES.items() if name != "head_dim"}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "norm_topk_prob": True}
EYES = {**SIZES, "hidden_size": 16, "intermediate_size": 32, "image_size": 28, "patch_size": 14}
CONFIGS = {
    "llama": lambda: transformers.LlamaConfig(**LLAMA_SIZES),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=258, n_embd=32, n_layer=3, n_head=4, n_positions=512, initializer_range=0.3
    ),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(
        **SIZES, intermediate_size=64, max_position_embeddings=512, initializer_range=0.3
    ),
    "mistral": lambda: transformers.MistralConfig(**LLAMA_SIZES, sliding_window=8),
    "gemma3": lambda: transformers.Gemma3TextConfig(
        **LLAMA_SIZES,
        sliding_window=8,
        query_pre_attn_scalar=8,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
    ),
    "mamba": lambda: transformers.MambaConfig(
        vocab_size=258, hidden_size=32, num_hidden_layers=3, state_size=4, initializer_range=0.3, use_cache=False
    ),
    "qwen3": lambda: transformers.Qwen3Config(**LLAMA_SIZES),
    "phi": lambda: transformers.PhiConfig(**PLAIN_SIZES),  # attention and MLP side by side
    "phi3": lambda: transformers.Phi3Config(**PLAIN_SIZES, pad_token_id=0),  # fused projections
    "olmo2": lambda: transformers.Olmo2Config(**PLAIN_SIZES),  # norms behind the sublayers
    "cohere2": lambda: transformers.Cohere2Config(**PLAIN_SIZES, sliding_window=8, logit_scale=1.0),
    "qwen3_moe": lambda: transformers.Qwen3MoeConfig(**LLAMA_SIZES, **EXPERTS),
    "mixtral": lambda: transformers.MixtralConfig(**LLAMA_SIZES, num_local_experts=4, num_experts_per_tok=2),
    "gpt_oss": lambda: transformers.GptOssConfig(  # attention sinks
        **LLAMA_SIZES,
        num_local_experts=4,
        num_experts_per_tok=2,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
    "deepseek_v3": lambda: transformers.DeepseekV3Config(  # keys and values of different widths
        **{**PLAIN_SIZES, "num_key_value_heads": 4, "moe_intermediate_size": 16, "n_routed_experts": 4},
        **{"num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "q_lora_rank": 16},
        **{"kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 12},
    ),
    "lfm2": lambda: transformers.Lfm2Config(
        **PLAIN_SIZES, layer_types=["conv", "full_attention", "conv"], block_multiple_of=16
    ),
    "qwen3_next": lambda: transformers.Qwen3NextConfig(
        **{**LLAMA_SIZES, **EXPERTS, "shared_expert_intermediate_size": 16, "linear_num_key_heads": 2},
        **{"linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8},
        layer_types=["linear_attention", "linear_attention", "full_attention"],
    ),
    "gemma3_vlm": lambda: transformers.Gemma3Config(  # a language model inside one that sees
        text_config=CONFIGS["gemma3"]().to_dict(), vision_config=EYES, mm_tokens_per_image=4
    ),
}
# A linear layer of the last block that writes to the residual stream.
WRITERS = {
    **dict.fromkeys(
        ("llama", "mistral", "gemma3", "qwen3", "phi3", "olmo2", "cohere2"), "model.layers.2.mlp.down_proj"
    ),
    **dict.fromkeys(
        ("qwen3_moe", "mixtral", "gpt_oss", "deepseek_v3", "qwen3_next"), "model.layers.2.self_attn.o_proj"
    ),
    "gpt2": "transformer.h.2.mlp.c_proj",
    "gpt_neox": "gpt_neox.layers.2.mlp.dense_4h_to_h",
    "phi": "model.layers.2.mlp.fc2",
    "lfm2": "model.layers.2.feed_forward.w2",
    "gemma3_vlm": "model.language_model.layers.2.mlp.down_proj",
    "mamba": "backbone.layers.2.mixer.out_proj",
}


def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with one token a byte and two special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({token: i for i, token in enumerate(SPECIAL + alphabet)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(SPECIAL)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|end|>", pad_token="<|end|>", chat_template=CHAT_TEMPLATE
    )


def model(kind: str = "llama", seed: int = 0):
    """A random model in eval mode; gpt2 and gpt_neox do not use Llama's module names, mamba has no attention."""
    torch.manual_seed(seed)
    config = CONFIGS[kind]()
    config.eos_token_id = config.pad_token_id = config.bos_token_id = 0
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def loaded(kind: str = "llama", seed: int = 0) -> LoadedModel:
    """What `load_model` would give of a random model."""
    return LoadedModel(model(kind, seed), tokenizer(), "0")


def resolved(directory: Path, kind: str = "llama", seed: int = 0) -> Path:
    """Write what `resolve_model` would of a tiny model."""
    write_json({"trust_remote_code": False, "sha256": "0"}, save(directory, kind, seed) / "source.json")
    return directory


def save(directory: Path, kind: str = "llama", seed: int = 0) -> Path:
    """Write a tiny model and its tokenizer as a Hugging Face directory."""
    model(kind, seed).save_pretrained(directory)
    tokenizer().save_pretrained(directory)
    return directory
