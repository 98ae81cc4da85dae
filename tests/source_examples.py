"""Model sources: directories and GGUF files, resolved or refused."""

import numpy as np
import pytest
import tiny
from gguf import GGUFWriter
from steerdose.errors import SteerdoseError
from steerdose.model.sources import resolve_model
from steerdose.study.config import Model


def resolve(tmp_path, source, **changes):
    given = {"revision": None, "sha256": None, "dtype": "float32", "chat_template": None, "trust_remote_code": False}
    settings = Model(**given | {"source": str(source)} | changes)
    resolve_model(settings=settings, directory=str(tmp_path / "out/model"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model"], "temporary files are left"
    return tmp_path / "out/model"


def refuse(tmp_path, message, source, **changes):
    with pytest.raises(SteerdoseError, match=message):
        resolve(tmp_path, source, **changes)
    assert list((tmp_path / "out").iterdir()) == []


def write_gguf(path):
    """Write a one-block Llama in fp32 and return its tensors."""
    vocabulary = tiny.tokenizer().get_vocab()
    tokens = [*sorted(vocabulary, key=vocabulary.get), "Ġt"]
    writer = GGUFWriter(str(path), "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_rope_dimension_count(8)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3] + [1] * 257)
    writer.add_token_merges(["Ġ t"])
    writer.add_eos_token_id(0)
    writer.add_chat_template(tiny.CHAT_TEMPLATE)
    shapes = {"token_embd": (len(tokens), 32), "output_norm": (32,), "blk.0.attn_norm": (32,), "blk.0.ffn_norm": (32,)}
    shapes |= {f"blk.0.attn_{name}": (32, 32) for name in ("q", "k", "v", "output")}
    shapes |= {"blk.0.ffn_gate": (64, 32), "blk.0.ffn_up": (64, 32), "blk.0.ffn_down": (32, 64)}
    generator = np.random.default_rng(0)
    tensors = {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    for name, tensor in tensors.items():
        writer.add_tensor(f"{name}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors
