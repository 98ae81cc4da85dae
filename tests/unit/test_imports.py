"""Imports: what another tool's file does to the model, and one clear error for all that does not fit it."""

import json
import sys
from dataclasses import make_dataclass
from types import ModuleType

import gguf
import numpy as np
import peft
import pytest
import tiny
import torch
import yaml
from safetensors.torch import load_file, save_file
from steerdose.data import SCHEMAS
from steerdose.edits import Add
from steerdose.errors import SteerdoseError
from steerdose.import_target import architecture, model_name
from steerdose.imports import FORMATS, import_steering
from steerdose.models import find_blocks
from steerdose.steering import Steering, steer
from steerdose.tables import read_json, write_json

IDS = torch.tensor([[5, 6, 7, 8]])
HUB = "owner/Tiny-Llama"


def resolved(folder, kind="llama"):
    """A model directory as resolve_model makes it."""
    tiny.save(folder, kind)
    write_json({"source": HUB, "revision": "1", "trust_remote_code": False, "sha256": "5"}, folder / "source.json")
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return resolved(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture
def take(llama, tmp_path):
    """Import sources as method `theirs`; return the steering and geometry.json."""

    def run(kind, positive, negative=None, model=llama, **settings):
        import_steering(
            model=str(model), cell={"model": "m", "behavior": "b", "seed": 0, "method": "theirs"},
            settings={
                "kind": "import", "format": kind, "positive": str(positive),
                "negative": negative and str(negative), **settings,
            },
            metadata={"behavior": "b"}, output=str(tmp_path / "out/s.safetensors"), geometry=str(tmp_path / "out/g"),
        )  # fmt: skip
        return Steering.load(tmp_path / "out/s.safetensors"), read_json(tmp_path / "out/g")

    yield run
    leftovers = list((tmp_path / "out").glob(".*")) if (tmp_path / "out").exists() else []
    assert leftovers == []


def vector(seed, width=32):
    return torch.randn(width, generator=torch.Generator().manual_seed(seed))


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


LORA = peft.LoraConfig(target_modules=["q_proj", "down_proj"], r=2)


def write_adapter(folder, seed=0, config=LORA, model=None, base=None):
    """A saved adapter with random parameters; `base` is the name of its model, as in a file that was downloaded."""
    wrapped = peft.get_peft_model(model or tiny.model(), config)
    torch.manual_seed(seed)
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    wrapped.save_pretrained(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    write_json({**config, "base_model_name_or_path": base}, folder / "adapter_config.json")
    return folder


def tuned(folder, change, kind="llama"):
    """A copy of the tiny model whose named parameters were changed in place."""
    model = tiny.model(kind)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            change(name, parameter)
    model.save_pretrained(folder, max_shard_size="40KB")
    return folder


def nudge(*parts):
    def change(name, parameter):
        if any(part in name for part in parts):
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))

    return change


def test_the_formats_are_those_of_the_schema():
    schema = yaml.safe_load((SCHEMAS / "config.schema.yaml").read_text())
    assert schema["$defs"]["import"]["properties"]["format"]["enum"] == list(FORMATS)


# What the files mean


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


@pytest.mark.parametrize(
    "config",
    [
        LORA,
        peft.LoraConfig(target_modules=["q_proj"], r=2, use_dora=True),
        peft.IA3Config(target_modules=["v_proj"], feedforward_modules=[]),
        peft.OFTConfig(target_modules=["q_proj"], oft_block_size=8, r=0),
        peft.VeraConfig(target_modules=["q_proj"], r=4, save_projection=False),
        peft.AdaLoraConfig(target_modules=["q_proj"], init_r=2, total_step=4, tinit=1, tfinal=1),
        peft.LoHaConfig(target_modules=["q_proj"], r=2),
    ],
    ids=["lora", "dora", "ia3", "oft", "vera", "adalora", "loha"],
)
def test_one_adapter_of_any_family_is_merged_minus_base(take, tmp_path, config):
    steering, geometry = take("peft", write_adapter(tmp_path / "a", config=config, base=HUB))
    model = tiny.model()
    with steer(model, steering, 1):
        found = model(IDS).logits
    merged = peft.PeftModel.from_pretrained(model, tmp_path / "a").merge_and_unload()
    torch.testing.assert_close(found, merged(IDS).logits, atol=1e-5, rtol=1e-5)
    assert geometry["relative_error"] < 1e-6
    assert "cos_anti" not in geometry


def test_a_pair_of_adapters_honours_delta(take, tmp_path):
    sides = [write_adapter(tmp_path / f"{seed}", seed) for seed in (1, 2)]
    found = {mode: take("peft", *sides, delta=mode)[0] for mode in ("difference", "bisector", "positive", "negative")}
    default, geometry = take("peft", *sides)

    def delta(steering):
        return torch.cat([(edit.B @ edit.A).flatten() for _, edit in sorted(steering.edits)])

    alone = [delta(take("peft", side)[0]) for side in sides]
    torch.testing.assert_close(delta(found["difference"]), alone[0] - alone[1])
    torch.testing.assert_close(delta(default), alone[0] - alone[1])
    torch.testing.assert_close(delta(found["positive"]), alone[0])
    torch.testing.assert_close(delta(found["negative"]), -alone[1])
    bisector = alone[0] / alone[0].norm() - alone[1] / alone[1].norm()
    assert torch.cosine_similarity(delta(found["bisector"]), bisector, dim=0) == pytest.approx(1, abs=1e-5)
    assert geometry["norm_delta"] == pytest.approx(float((alone[0] - alone[1]).norm()), rel=1e-5)


@pytest.mark.parametrize(("kind", "parts"), [("llama", ["q_proj", "lm_head"]), ("gpt2", ["c_attn.weight"])])
def test_at_coefficient_1_the_checkpoint_is_there(take, tmp_path, kind, parts):
    folder = tuned(tmp_path / "t", nudge(*parts), kind)
    assert len(list(folder.glob("*.safetensors"))) > 1, "the test is about shards"
    base = resolved(tmp_path / "base", kind)
    steering, geometry = take("checkpoint", folder, model=base)
    model, expected = tiny.model(kind), type(tiny.model(kind)).from_pretrained(folder)
    with steer(model, steering, 1):
        torch.testing.assert_close(model(IDS).logits, expected(IDS).logits, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(model(IDS).logits, expected(IDS).logits, atol=1e-2)
    changes = [
        (p - q).detach() for (_, p), (_, q) in zip(expected.named_parameters(), model.named_parameters(), strict=True)
    ]
    assert geometry["norm_delta"] == pytest.approx(float(torch.stack([c.norm() for c in changes]).norm()), rel=1e-5)
    assert geometry["relative_error"] < 1e-6


def test_two_checkpoints_are_subtracted_and_share_what_else_they_changed(take, tmp_path):
    positive = tuned(tmp_path / "p", nudge("q_proj", "norm"))
    negative = tuned(tmp_path / "n", nudge("k_proj", "norm"))
    steering, _ = take("checkpoint", positive, negative)
    assert {path.rpartition(".")[2] for path, _ in steering.edits} == {"q_proj", "k_proj"}
    p, n = (type(tiny.model()).from_pretrained(folder).state_dict() for folder in (positive, negative))
    for path, edit in steering.edits:
        torch.testing.assert_close(edit.dW, p[f"{path}.weight"] - n[f"{path}.weight"])


def test_a_checkpoint_without_the_prefix_of_its_class_is_matched(take, tmp_path):
    base = resolved(tmp_path / "base", "gpt2")
    tensors = load_file(base / "model.safetensors")
    tensors["transformer.h.1.attn.c_attn.weight"] += 0.1
    (tmp_path / "t").mkdir()
    bare = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    save_file(bare, tmp_path / "t/model.safetensors")
    steering, _ = take("checkpoint", tmp_path / "t", model=base)
    assert [path for path, _ in steering.edits] == ["transformer.h.1.attn.c_attn"]
    assert steering.edits[0][1].norm() == pytest.approx(0.1 * (32 * 96) ** 0.5, rel=1e-4)


def test_changed_norms_are_skipped_only_where_ignore_names_them(take, tmp_path):
    folder = tuned(tmp_path / "t", nudge("q_proj", "input_layernorm", "embed_tokens"))
    with pytest.raises(SteerdoseError) as caught:
        take("checkpoint", folder)
    message = str(caught.value)
    for name in ("model.embed_tokens.weight", *(f"model.layers.{i}.input_layernorm.weight" for i in range(3))):
        assert f"{name} differs, and only weights of linear layers can be steered" in message
    assert "q_proj" not in message
    steering, _ = take("checkpoint", folder, ignore=["*layernorm.weight", "model.embed_tokens.weight"])
    assert {path.rpartition(".")[2] for path, _ in steering.edits} == {"q_proj"}
    with pytest.raises(SteerdoseError, match="ignore: 'layernorms' names no parameter"):
        take("checkpoint", folder, ignore=["layernorms"])


# What does not fit


def refuse(take, match, *arguments, **settings):
    with pytest.raises(SteerdoseError, match=match) as caught:
        take(*arguments, **settings)
    assert str(caught.value).startswith("methods.theirs (")
    return str(caught.value)


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


@pytest.mark.parametrize("kind", list(FORMATS))
def test_empty_directories_and_foreign_files_are_refused(take, tmp_path, kind):
    (tmp_path / "empty").mkdir()
    refuse(take, "must hold one file ending in|holds no .safetensors weights", kind, tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("hello")
    refuse(take, "does not end in|is a file; give the directory", kind, tmp_path / "notes.txt")
    np.savez(tmp_path / "whole.npz", **{"0": vector(1).numpy()})
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-40])
    refuse(take, "does not end in|is a file|not a readable safetensors or npz", kind, tmp_path / "cut.npz")
    for suffix in FORMATS[kind].suffixes or (".safetensors",):
        broken = tmp_path / f"broken{suffix}"
        broken.mkdir()
        (broken / f"model{suffix}").write_text("no tensors at all")
        refuse(take, "readable|does not load", kind, broken)


def test_a_source_that_is_neither_there_nor_on_the_hub(take):
    refuse(take, "correct methods.theirs.positive", "vectors", "./nowhere.npz")


def test_an_adapter_for_another_model(take, tmp_path):
    refuse(
        take, "was made for the model 'owner/Other-7B'", "peft", write_adapter(tmp_path / "o", base="owner/Other-7B")
    )
    assert take("peft", tmp_path / "o", ignore=["base_model"])[0].edits
    gpt2 = write_adapter(tmp_path / "g", config=peft.LoraConfig(target_modules=["c_attn"]), model=tiny.model("gpt2"))
    message = refuse(take, "model has no such module", "peft", gpt2)
    assert "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight" in message


def test_an_adapter_of_another_width_or_depth(take, tmp_path):
    def llama_of(**sizes):
        config = type(tiny.model().config)(**{**tiny.LLAMA_SIZES, **sizes})
        return type(tiny.model())(config)

    wide = write_adapter(tmp_path / "wide", model=llama_of(hidden_size=48))
    refuse(take, "size mismatch", "peft", wide)
    deep = write_adapter(tmp_path / "deep", model=llama_of(num_hidden_layers=4))
    refuse(take, r"layers\.3\.\S+: the model has no such module", "peft", deep)
    shallow = write_adapter(tmp_path / "shallow", model=llama_of(num_hidden_layers=2))
    refuse(take, "the adapter lacks weights for modules of this model", "peft", shallow)


def test_an_adapter_with_pickled_weights_or_nan(take, tmp_path):
    folder = write_adapter(tmp_path / "a")
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file({name: tensor * torch.nan for name, tensor in tensors.items()}, folder / "adapter_model.safetensors")
    refuse(take, "is not finite", "peft", folder)
    (folder / "adapter_model.safetensors").unlink()
    torch.save(tensors, folder / "adapter_model.bin")
    refuse(take, "pickled weights are refused", "peft", folder)


def test_a_checkpoint_of_another_model(take, tmp_path):
    other = resolved(tmp_path / "gpt2", "gpt2")
    message = refuse(take, "lacks lm_head.weight", "checkpoint", other)
    assert "holds transformer.h.0" in message or "more" in message
    folder = tuned(tmp_path / "t", nudge("q_proj"))
    (tmp_path / "cut").mkdir()
    tensors = {k: v for shard in folder.glob("*.safetensors") for k, v in load_file(shard).items()}
    tensors["model.norm.weight"] = torch.ones(16)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, tmp_path / "cut/model.safetensors")
    message = refuse(take, "cut lacks model.layers.1.mlp.up_proj.weight", "checkpoint", tmp_path / "cut")
    assert "model.norm.weight: shape (16,) in cut, (32,) in the model" in message


def test_an_unchanged_checkpoint_changes_nothing(take, llama):
    refuse(take, "the sources change nothing", "checkpoint", llama)


def test_names_of_models_and_architectures():
    for name in ("pypi://x==1/x/SmolLM2-135M-Instruct.Q4_1.gguf", "HuggingFaceTB/SmolLM2-135M-Instruct/", HUB):
        assert model_name(name) in ("smollm2-135m-instruct", "tiny-llama")
    assert model_name("a/b-7B-Q4_K_M.gguf") == "b-7b"
    spellings = {"gpt_neox": "gptneox", "gptneox": "gptneox", "gemma3_text": "gemma3", "mistral": "llama"}
    assert {name: architecture(name) for name in spellings} == spellings
