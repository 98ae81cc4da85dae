"""A tiny model to import into, files to import, and the errors of what does not fit."""

import json

import gguf
import pytest
import tiny
import torch
from steerdose.columns import Cell
from steerdose.errors import SteerdoseError
from steerdose.exchange.read import import_steering
from steerdose.files import read_json, write_json
from steerdose.steering.steering import Steering
from steerdose.study.methods import Import
from steerdose.study.settings import ImportSteering

IDS = torch.tensor([[5, 6, 7, 8]])


HUB = "owner/Tiny-Llama"


def resolved(folder, kind="llama"):
    """A model directory as resolve_model makes it."""
    tiny.save(folder, kind)
    write_json({"source": HUB, "revision": "1", "trust_remote_code": False, "sha256": "5"}, folder / "source.json")
    return folder


@pytest.fixture(scope="module", name="llama")
def llama_fixture(tmp_path_factory):
    return resolved(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(name="take")
def take_fixture(llama, tmp_path):
    """Import sources as method `theirs`; return the steering and geometry.json."""

    def run(kind, positive, negative=None, model=llama, **keys):
        entry = {"kind": "import", "format": kind, "positive": str(positive), "negative": negative and str(negative)}
        import_steering(
            model=str(model), cell=Cell("m", "b", 0), entry="theirs",
            settings=ImportSteering(method=Import.parse(json.dumps({**entry, **keys}))),
            steering=str(tmp_path / "out/s.safetensors"), geometry=str(tmp_path / "out/g"),
        )  # fmt: skip
        return Steering.load(tmp_path / "out/s.safetensors"), read_json(tmp_path / "out/g")

    yield run
    leftovers = list((tmp_path / "out").glob(".*")) if (tmp_path / "out").exists() else []
    assert leftovers == []


def vector(seed, width=32):
    return torch.randn(width, generator=torch.Generator().manual_seed(seed))


def refuse(take, match, *arguments, **settings):
    with pytest.raises(SteerdoseError, match=match) as caught:
        take(*arguments, **settings)
    assert str(caught.value).startswith("methods.theirs (")
    return str(caught.value)


def write_gguf(path, directions, hint="llama", count=2, arch="controlvector"):
    writer = gguf.GGUFWriter(path, arch)
    if hint:
        writer.add_string("controlvector.model_hint", hint)
    writer.add_uint32("controlvector.layer_count", count)
    for name, direction in directions.items():
        writer.add_tensor(name, direction.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
