"""Exports are read back by their consumers' own plain code, and steer as steerdose does."""

import gguf
import peft
import pytest
import tiny
import torch
from safetensors.torch import load_file
from steerdose.columns import Cell
from steerdose.errors import SteerdoseError
from steerdose.exchange.read import import_steering
from steerdose.exchange.write import export_control_vector, export_model, export_peft
from steerdose.files import read_json, write_json
from steerdose.model.architecture import find_blocks
from steerdose.model.experts import open_experts
from steerdose.steering.edits import Ablate, Add, Dense, LowRank
from steerdose.steering.steering import MEMBERS, Steering, steer
from steerdose.study.methods import Import
from steerdose.study.settings import ImportSteering
from transformers import AutoModelForCausalLM, AutoTokenizer

IDS = torch.tensor([[5, 6, 7, 8, 200, 31]])
LINEARS = {  # a square and two oblong layers; gpt2's are Conv1D
    "llama": ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj", "model.layers.2.mlp.up_proj"],
    "gpt2": ["transformer.h.0.attn.c_attn", "transformer.h.1.mlp.c_proj", "transformer.h.2.attn.c_proj"],
}
SHAPES = {"llama": [(32, 32), (32, 64), (64, 32)], "gpt2": [(96, 32), (32, 128), (32, 32)]}
KINDS = list(LINEARS)
ALPHAS = [0.6, -1.7]  # coefficients 0.3 and -1.19
CALIBRATION = {
    sign: {"c_star": c_star, "converged": True, "reason": "within tolerance", "statistic": 1.0, "audit": 1.02}
    for sign, c_star in (("positive", 0.5), ("negative", 0.7))
}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def low_rank(kind):
    """Ranks 1, 2, 3 and a second edit of the first module, so that ranks differ and one is a sum."""
    sizes = list(zip(LINEARS[kind], SHAPES[kind], strict=True))
    edits = [
        (path, LowRank(normal(r, n_in, seed=r), normal(n_out, r, seed=r) / 10))
        for r, (path, (n_out, n_in)) in enumerate([*sizes, sizes[0]], 1)
    ]
    return Steering("lora", tuple(edits), {})


def dense(kind):
    return Steering("dora", ((LINEARS[kind][1], Dense(normal(*SHAPES[kind][1]) / 10)),), {})


def added(kind, *places):
    blocks = find_blocks(tiny.model(kind))
    return Steering("mean_diff", tuple((blocks[i], Add(normal(32, seed=i))) for i in places), {})


@pytest.fixture(params=KINDS)
def place(request, tmp_path):
    """A model directory and a calibration; `export(function, steering, alpha)` returns the exported path."""
    return Workplace(request.param, tmp_path)


class Workplace:
    def __init__(self, kind, folder):
        self.kind, self.folder = kind, folder
        self.directory = tiny.save(folder / "base", kind)
        self.source = {"source": "somewhere/base", "revision": None, "trust_remote_code": False, "sha256": "0"}
        write_json(self.source, self.directory / "source.json")
        write_json(CALIBRATION, folder / "calibration.json")

    def export(self, function, steering, alpha, name="exported"):
        steering.save(self.folder / "steering.safetensors")
        written = "vector" if function is export_control_vector else "folder"
        function(
            model=str(self.directory), steering=[str(self.folder / "steering.safetensors")],
            calibration=str(self.folder / "calibration.json"), method=steering.method, alpha=alpha,
            **{written: str(self.folder / name)},
        )  # fmt: skip
        return self.folder / name

    def base(self):
        return AutoModelForCausalLM.from_pretrained(self.directory)

    def steered(self, steering, alpha):
        model = self.base()
        c = alpha * (0.7 if alpha < 0 else 0.5)
        with torch.inference_mode(), steer(model, steering, c):
            return model(IDS).logits


def assert_agree(found, expected, base):
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert (expected - base).abs().max() > 0.1, "a steering without effect would agree as well"


@torch.inference_mode()
def logits(model):
    return model(IDS).logits


@pytest.mark.parametrize("alpha", ALPHAS)
def test_peft_loads_the_adapter_and_its_logits_are_the_steered_ones(place, alpha):
    steering = low_rank(place.kind)
    folder = place.export(export_peft, steering, alpha)
    adapted = peft.PeftModel.from_pretrained(place.base(), folder).eval()
    expected = place.steered(steering, alpha)
    assert_agree(logits(adapted), expected, logits(place.base()))
    assert_agree(logits(adapted.merge_and_unload()), expected, logits(place.base()))


def test_the_adapter_has_the_ranks_of_the_deltas_and_scaling_1(place):
    folder = place.export(export_peft, low_rank(place.kind), 1.0)
    assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    config = read_json(folder / "adapter_config.json")
    assert config["r"] == config["lora_alpha"] == 5  # 1 + 4
    assert config["rank_pattern"] == config["alpha_pattern"] == dict(zip(LINEARS[place.kind][1:], (2, 3), strict=True))
    assert config["fan_in_fan_out"] == (place.kind == "gpt2")
    tensors = load_file(folder / "adapter_model.safetensors")
    assert sorted(len(tensor) for name, tensor in tensors.items() if "lora_A" in name) == [2, 3, 5]
    adapted = peft.PeftModel.from_pretrained(place.base(), folder)
    scalings = [layer.scaling["default"] for layer in adapted.modules() if hasattr(layer, "lora_A")]
    assert scalings == [1.0] * 3


@pytest.mark.parametrize("revision", ["abc", None])
def test_the_adapter_names_its_base_by_source_and_revision(place, revision):
    write_json({**place.source, "revision": revision}, place.directory / "source.json")
    folder = place.export(export_peft, low_rank(place.kind), 1.0)
    config = read_json(folder / "adapter_config.json")
    assert (config["base_model_name_or_path"], config["revision"]) == ("somewhere/base", revision)


def test_no_export_holds_a_path_that_only_this_study_has(place):
    exports = {export_peft: low_rank(place.kind), export_model: dense(place.kind)}
    for function, steering in {**exports, export_control_vector: added(place.kind, 1)}.items():
        exported = place.export(function, steering, 1.0)
        files = [exported] if exported.is_file() else [path for path in exported.rglob("*") if path.is_file()]
        assert files
        for file in files:
            assert str(place.folder).encode() not in file.read_bytes(), file


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("family", [low_rank, dense])
def test_transformers_loads_the_merged_model_and_its_logits_are_the_steered_ones(place, family, alpha):
    steering = family(place.kind)
    folder = place.export(export_model, steering, alpha)
    merged = AutoModelForCausalLM.from_pretrained(folder)
    assert merged.dtype is torch.float32
    assert_agree(logits(merged), place.steered(steering, alpha), logits(place.base()))
    for name, weight in place.base().named_parameters():
        steered = name.removesuffix(".weight") in dict(steering.edits)
        assert torch.equal(weight, merged.get_parameter(name)) != steered, name


@pytest.mark.parametrize("kind", ["qwen3_moe", "gpt_oss"])
def test_deltas_of_experts_are_merged_and_are_no_adapter(tmp_path, kind):
    place = Workplace(kind, tmp_path)
    base = place.base()
    open_experts(base)
    edits = []
    for index in range(4):
        path = f"model.layers.1.mlp.experts.{index}.down_proj"
        out, into = base.get_submodule(path).weight.shape
        edits.append((path, LowRank(normal(2, into, seed=index), normal(out, 2, seed=index))))
    steering = Steering("lora", tuple(edits), {})
    merged = AutoModelForCausalLM.from_pretrained(place.export(export_model, steering, 0.6))
    assert_agree(logits(merged), place.steered(steering, 0.6), logits(place.base()))
    with pytest.raises(SteerdoseError, match="not of single experts.*Export model instead"):
        place.export(export_peft, steering, 0.6)


@pytest.mark.parametrize("function", [export_peft, export_model])
def test_a_part_is_exported_alone(tmp_path, function):
    place = Workplace("llama", tmp_path)
    parts = Steering("parts", low_rank("llama").edits[:3], {MEMBERS: '["0", "1", "0"]'})
    part = Steering("parts.0", (parts.edits[0], parts.edits[2]), {})
    parts.save(tmp_path / "parts.safetensors")
    function(
        model=str(place.directory), steering=[str(tmp_path / "parts.safetensors")],
        calibration=str(tmp_path / "calibration.json"), method="parts.0", alpha=0.6, folder=str(tmp_path / "exported"),
    )  # fmt: skip
    if function is export_peft:
        found = peft.PeftModel.from_pretrained(place.base(), tmp_path / "exported").eval()
    else:
        found = AutoModelForCausalLM.from_pretrained(tmp_path / "exported")
    assert_agree(logits(found), place.steered(part, 0.6), logits(place.base()))


def test_the_merged_model_is_complete(place):
    folder = place.export(export_model, dense(place.kind), 1.0)
    assert not (folder / "source.json").exists()
    for tokenizer in (AutoTokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(place.directory)):
        assert tokenizer("abc").input_ids == tiny.tokenizer()("abc").input_ids
        assert tokenizer.chat_template == tiny.CHAT_TEMPLATE


def llama_cpp(model, path):
    """What llama.cpp does with a control vector, step by step; see the docstring of save_control_vector."""
    width, data = 0, []
    for tensor in gguf.GGUFReader(path).tensors:
        name, _, index = tensor.name.partition(".")
        assert (name, tensor.tensor_type, len(tensor.shape)) == ("direction", gguf.GGMLQuantizationType.F32, 1)
        assert int(index) > 0
        width = int(tensor.shape[0])
        data += [0.0] * (width * int(index) - len(data))
        start = width * (int(index) - 1)
        data[start : start + width] = [old + float(new) for old, new in zip(data[start:], tensor.data, strict=False)]
    modules = dict(model.named_modules())
    for il, block in enumerate(find_blocks(model)):
        off = width * (il - 1)
        if il >= 1 and off + width <= len(data):
            direction = torch.tensor(data[off : off + width])
            modules[block].register_forward_hook(
                lambda _module, _args, y, v=direction: (y[0] + v, *y[1:]) if isinstance(y, tuple) else y + v
            )
    return model


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("places", [(1,), (2,), (2, 1), (1, 1)])
def test_llama_cpp_reads_the_control_vector_as_the_steering(place, places, alpha):
    steering = added(place.kind, *places)
    path = place.export(export_control_vector, steering, alpha, "control_vector.gguf")
    assert_agree(logits(llama_cpp(place.base(), path)), place.steered(steering, alpha), logits(place.base()))


def test_the_control_vector_says_what_it_is(place):
    path = place.export(export_control_vector, added(place.kind, 2), 1.0, "control_vector.gguf")
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert fields == {
        "general.architecture": "controlvector", "controlvector.model_hint": place.kind, "controlvector.layer_count": 1,
    }  # fmt: skip
    assert [tensor.name for tensor in reader.tensors] == ["direction.2"]


@pytest.mark.parametrize(
    ("function", "steering", "message"),
    [
        (export_peft, dense("llama"), r"as peft: that needs .*low rank.*down_proj has the edit Dense\. Export model"),
        (export_peft, added("llama", 1), r"has the edit Add\. Export control_vector\.gguf instead"),
        (export_model, added("llama", 1), r"as model: .*has the edit Add\. Export control_vector\.gguf instead"),
        (export_control_vector, low_rank("llama"), r"control_vector\.gguf: .*LowRank\. Export peft or model instead"),
        (export_control_vector, dense("llama"), r"has the edit Dense\. Export model instead"),
        (export_control_vector, added("llama", 0), r"first, which llama\.cpp never steers.*layers\.0 has the edit Add"),
        (
            export_control_vector,
            Steering("sub", ((LINEARS["llama"][1], Add(normal(32))),), {}),
            r"down_proj has the edit Add\. No export format holds it: steer with steerdose's own steering file",
        ),
        (
            export_model,
            Steering("ablate", (("model.layers.1", Ablate(normal(32) / normal(32).norm())),), {}),
            r"has the edit Ablate\. No export format holds it",
        ),
        (
            export_peft,
            Steering("mixed", (*low_rank("llama").edits, *dense("llama").edits), {}),
            r"has the edit Dense\. Export model instead",
        ),
    ],
)
def test_what_a_format_cannot_hold_is_refused_with_what_can(tmp_path, function, steering, message):
    place = Workplace("llama", tmp_path)
    with pytest.raises(SteerdoseError, match=message):
        place.export(function, steering, 1.0)
    assert not (tmp_path / "exported").exists()


def test_alpha_0_and_modules_of_another_model_are_refused(tmp_path):
    place = Workplace("llama", tmp_path)
    with pytest.raises(SteerdoseError, match="alpha 0 is the unsteered model"):
        place.export(export_model, dense("llama"), 0.0)
    for function in (export_peft, export_model):
        with pytest.raises(SteerdoseError, match=r"c_attn: expected a linear layer, found no such module"):
            place.export(function, low_rank("gpt2"), 1.0)
    embedding = Steering("embedding", (("model.embed_tokens", LowRank(normal(2, 258), normal(32, 2))),), {})
    with pytest.raises(SteerdoseError, match="expected a linear layer, found Embedding"):
        place.export(export_model, embedding, 1.0)


def test_a_weight_that_another_module_shares_is_not_merged(tmp_path):
    place = Workplace("gpt2", tmp_path)  # its output head is its embedding
    steering = Steering("head", (("lm_head", LowRank(normal(2, 32), normal(258, 2))),), {})
    with pytest.raises(SteerdoseError, match=r"lm_head shares its weight with \['transformer.wte.weight'\].*peft"):
        place.export(export_model, steering, 1.0)
    adapted = peft.PeftModel.from_pretrained(place.base(), place.export(export_peft, steering, -1.7)).eval()
    assert_agree(logits(adapted), place.steered(steering, -1.7), logits(place.base()))


@pytest.mark.parametrize(
    ("function", "kind", "name"),
    [
        (export_control_vector, "control_vector", "vector.gguf"),
        (export_peft, "peft", "adapter"),
        (export_model, "checkpoint", "merged"),
    ],
)
def test_what_is_exported_can_be_imported_again(place, function, kind, name):
    steering = added(place.kind, 1, 2) if kind == "control_vector" else low_rank(place.kind)
    exported = place.export(function, steering, -1.7, name)
    entry = Import(kind="import", format=kind, positive=str(exported), negative=None)
    import_steering(
        model=str(place.directory), cell=Cell("m", "b", 0), settings=ImportSteering(method=entry), entry="again",
        steering=str(place.folder / "again.safetensors"), geometry=str(place.folder / "again.json"),
    )  # fmt: skip
    again, model = Steering.load(place.folder / "again.safetensors"), place.base()
    assert {type(edit) for _, edit in again.edits} == {type(edit) for _, edit in steering.edits}
    with torch.inference_mode(), steer(model, again, 1.0):
        logits = model(IDS).logits
    assert_agree(logits, place.steered(steering, -1.7), place.base()(IDS).logits)
