"""Random tiny models with a byte tokenizer, made locally; and the config overlay of a study that runs in seconds."""

from pathlib import Path

import torch
import transformers
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


def save(directory: Path, kind: str = "llama", seed: int = 0) -> Path:
    """Write a tiny model and its tokenizer as a Hugging Face directory."""
    model(kind, seed).save_pretrained(directory)
    tokenizer().save_pretrained(directory)
    return directory
