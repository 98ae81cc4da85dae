"""Imported vectors: what another tool's file adds to which output, and one clear error for all that does not fit."""

import sys
from dataclasses import make_dataclass
from types import ModuleType

import numpy as np
import pytest
import tiny
import torch
from import_examples import IDS, llama_fixture, refuse, resolved, take_fixture, vector, write_gguf  # noqa: F401
from safetensors.torch import save_file
from steerdose.errors import SteerdoseError
from steerdose.model.architecture import find_blocks
from steerdose.steering.edits import Add
from steerdose.steering.steering import steer


def test_direction_k_is_added_to_the_output_of_layer_k_counted_from_0(take, tmp_path):
    directions = {"direction.1": vector(1), "direction.2": vector(2)}
    steering, geometry = take("control_vector", write_gguf(tmp_path / "v.gguf", directions))
    assert [path for path, _ in steering.edits] == ["model.layers.1", "model.layers.2"]
    model = tiny.model()
    handles = [
        model.model.layers[k].register_forward_hook(lambda _m, _a, y, v=directions[f"direction.{k}"]: y + 0.5 * v)
        for k in (1, 2)
    ]
    expected = model(IDS).logits
    for handle in handles:
        handle.remove()
    with steer(model, steering, 0.5):
        torch.testing.assert_close(model(IDS).logits, expected)
    assert steering.metadata["model_sha256"] == "5"
    assert geometry["sources"] == [{"source": str(tmp_path / "v.gguf"), "sha256": steering.metadata["source_sha256"]}]
    assert [entry["norm"] for entry in geometry["modules"]] == pytest.approx(
        [float(v.norm()) for v in directions.values()]
    )


def test_steering_vectors_in_either_form_and_at_any_layer_type(take, tmp_path):
    layers = {0: vector(1), 2: vector(2).reshape(1, 1, -1)}
    torch.save(layers, tmp_path / "plain.pt")
    torch.save({"layer_activations": layers, "layer_type": "mlp"}, tmp_path / "mlp.pt")
    plain, _ = take("steering_vectors", tmp_path / "plain.pt")
    mlp, _ = take("steering_vectors", tmp_path / "mlp.pt")
    assert [path for path, _ in plain.edits] == ["model.layers.0", "model.layers.2"]
    assert [path for path, _ in mlp.edits] == ["model.layers.0.mlp", "model.layers.2.mlp"]
    for steering in (plain, mlp):
        assert all(torch.equal(edit.v, vector(seed)) for seed, (_, edit) in enumerate(steering.edits, 1))


def test_the_librarys_own_object_is_read_without_the_library(take, tmp_path, monkeypatch):
    library = ModuleType("steering_vectors.steering_vector")
    fields = [("layer_activations", dict), ("layer_type", str)]
    library.SteeringVector = make_dataclass("SteeringVector", fields, namespace={"__module__": library.__name__})
    with monkeypatch.context() as installed:
        for name in ("steering_vectors", library.__name__):
            installed.setitem(sys.modules, name, library)
        torch.save(library.SteeringVector({1: vector(1)}, "mlp"), tmp_path / "saved.pt")
    steering, _ = take("steering_vectors", tmp_path / "saved.pt")
    [(path, edit)] = steering.edits
    assert path == "model.layers.1.mlp"
    assert torch.equal(edit.v, vector(1))


@pytest.mark.parametrize("name", ["1", "layer.1", "layers.1", "model.layers.1"])
@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_vectors_by_layer(take, tmp_path, name, suffix):
    path = tmp_path / f"v.{suffix}"
    if suffix == "npz":
        np.savez(path, **{name: vector(1).numpy()})
    else:
        save_file({name: vector(1)}, path)
    steering, _ = take("vectors", tmp_path)  # the directory with one such file
    assert [(where, type(edit)) for where, edit in steering.edits] == [("model.layers.1", Add)]
    assert torch.equal(steering.edits[0][1].v, vector(1))


def test_vectors_by_module_have_the_width_of_its_output(take, tmp_path):
    save_file({"model.layers.0.mlp.up_proj": vector(1, 64), "model.layers.2": vector(2)}, tmp_path / "v.safetensors")
    steering, _ = take("vectors", tmp_path / "v.safetensors")
    assert [(path, edit.width) for path, edit in steering.edits] == [
        ("model.layers.0.mlp.up_proj", 64), ("model.layers.2", 32),
    ]  # fmt: skip


def test_a_layer_number_finds_the_blocks_of_any_architecture(take, tmp_path):
    save_file({"2": vector(1)}, tmp_path / "v.safetensors")
    steering, _ = take("vectors", tmp_path / "v.safetensors", model=resolved(tmp_path / "neox", "gpt_neox"))
    assert steering.edits[0][0] == find_blocks(tiny.model("gpt_neox"))[2]


def test_two_sides_are_subtracted_and_what_cancels_is_left_out(take, tmp_path):
    save_file({"0": vector(1), "1": vector(2)}, tmp_path / "p.safetensors")
    save_file({"0": vector(1), "1": vector(3)}, tmp_path / "n.safetensors")
    steering, _ = take("vectors", tmp_path / "p.safetensors", tmp_path / "n.safetensors")
    assert [path for path, _ in steering.edits] == ["model.layers.1"]
    torch.testing.assert_close(steering.edits[0][1].v, vector(2) - vector(3))
    with pytest.raises(SteerdoseError, match="the sources change nothing"):
        take("vectors", tmp_path / "p.safetensors", tmp_path / "p.safetensors")


def test_all_that_is_wrong_with_a_control_vector_comes_in_one_error(take, tmp_path):
    directions = {
        "direction.0": vector(0), "direction.1": vector(1, 48), "direction.2": vector(2) * torch.nan,
        "direction.3": vector(3), "blk.1": vector(4),
    }  # fmt: skip
    path = write_gguf(tmp_path / "v.gguf", directions, hint="qwen2", count=35)
    message = refuse(take, "does not fit the model in", "control_vector", path)
    for problem in (
        "made for a model of type 'qwen2', this one is 'llama'", "add base_model to the method's `ignore`",
        "layer_count is 35, the model has 3 layers", "direction.0: expected direction.1",
        "direction.1: shape (48,), but the output of model.layers.1 is 32 wide",
        "direction.2: holds numbers that are not finite", "blk.1: expected direction.1",
        "direction.3: the model has no layer 3, its layers are 0 to 2",
    ):  # fmt: skip
        assert problem in message
    good = write_gguf(tmp_path / "w.gguf", {"direction.1": vector(1)}, hint="qwen2")
    assert take("control_vector", good, ignore=["base_model"])[0].edits


def test_a_gguf_model_is_no_control_vector(take, tmp_path):
    path = write_gguf(tmp_path / "v.gguf", {"token_embd.weight": vector(1)}, hint=None, arch="llama")
    refuse(take, "of architecture 'llama', not a control vector; a model belongs under", "control_vector", path)
    (tmp_path / "cut.gguf").write_bytes(path.read_bytes()[:150])
    (tmp_path / "empty.gguf").write_bytes(b"")
    for name in ("cut", "empty"):
        refuse(take, "not a readable GGUF file", "control_vector", tmp_path / f"{name}.gguf")


class Payload:
    """Runs code when it is unpickled in full."""

    def __reduce__(self):
        return (pytest.fail, ("pickled code ran",))


def test_a_file_that_needs_full_pickle_is_explained_and_not_run(take, tmp_path):
    torch.save({"layer_activations": Payload()}, tmp_path / "v.pt")
    message = refuse(take, "does not load without running pickled code", "steering_vectors", tmp_path / "v.pt")
    assert "torch.save({'layer_activations': sv.layer_activations" in message
    (tmp_path / "cut.pt").write_bytes((tmp_path / "v.pt").read_bytes()[:-40])
    (tmp_path / "empty.pt").write_bytes(b"")
    for name in ("cut", "empty"):
        refuse(take, "not a readable file of torch.save", "steering_vectors", tmp_path / f"{name}.pt")
    torch.save([vector(1)], tmp_path / "list.pt")
    refuse(take, "expected {layer number: tensor}", "steering_vectors", tmp_path / "list.pt")
    torch.save({"layer_activations": {0: vector(1), 5: vector(1)}, "layer_type": "attention"}, tmp_path / "type.pt")
    message = refuse(take, "layer 5: the model has no layer 5", "steering_vectors", tmp_path / "type.pt")
    assert "layer_type 'attention': model.layers.0 has no such module" in message
    np.savez(tmp_path / "v.npz", **{"0": np.array([Payload()], dtype=object)})
    refuse(take, "not a readable safetensors or npz file", "vectors", tmp_path / "v.npz")


def test_all_that_is_wrong_with_a_file_of_vectors_comes_in_one_error(take, tmp_path):
    save_file(
        {"0": vector(1), "layer.0": vector(1), "encoder.1": vector(1), "9": vector(1), "1": vector(1, 16),
         "2": vector(2).reshape(2, 16), "model.layers.2.mlp.up_proj": vector(1)},
        tmp_path / "v.safetensors",
    )  # fmt: skip
    message = refuse(take, "does not fit the model in", "vectors", tmp_path / "v.safetensors")
    for problem in (
        "a second vector for model.layers.0", "encoder.1: no such module; accepted are 0, layer.0, layers.0",
        "9: the model has no layer 9", "1: shape (16,)", "2: shape (2, 16)",
        "model.layers.2.mlp.up_proj: shape (32,), but the output of model.layers.2.mlp.up_proj is 64 wide",
    ):  # fmt: skip
        assert problem in message


def test_both_sides_must_name_the_same_layers(take, tmp_path):
    save_file({"0": vector(1), "1": vector(2)}, tmp_path / "p.safetensors")
    save_file({"0": vector(3)}, tmp_path / "n.safetensors")
    refuse(
        take,
        r"different layers: \['model.layers.1'\]",
        "vectors",
        tmp_path / "p.safetensors",
        tmp_path / "n.safetensors",
    )
