"""Exports are read back by their consumers' own plain code, and steer as steerdose does."""

import gguf
import peft
import pytest
import tiny
import torch
from safetensors.torch import load_file
from steerdose.errors import SteerdoseError
from steerdose.exchange.read import import_steering
from steerdose.exchange.write import export_control_vector, export_model, export_peft
from steerdose.files import read_json, write_json
from steerdose.model.architecture import find_blocks
from steerdose.steering.edits import Ablate, Add, Dense, LowRank
from steerdose.steering.steering import Steering, steer
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
def cell(request, tmp_path):
    """A model directory and a calibration; `export(function, steering, alpha)` returns the exported path."""
    return Cell(request.param, tmp_path)


class Cell:
    def __init__(self, kind, folder):
        self.kind, self.folder = kind, folder
        self.directory = tiny.save(folder / "base", kind)
        self.source = {"source": "somewhere/base", "revision": None, "trust_remote_code": False, "sha256": "0"}
        write_json(self.source, self.directory / "source.json")
        write_json(CALIBRATION, folder / "calibration.json")

    def export(self, function, steering, alpha, name="exported"):
        steering.save(self.folder / "steering.safetensors")
        function(
            model=str(self.directory), steering=str(self.folder / "steering.safetensors"),
            calibration=str(self.folder / "calibration.json"), alpha=alpha, output=str(self.folder / name),
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
def test_peft_loads_the_adapter_and_its_logits_are_the_steered_ones(cell, alpha):
    steering = low_rank(cell.kind)
    folder = cell.export(export_peft, steering, alpha)
    adapted = peft.PeftModel.from_pretrained(cell.base(), folder).eval()
    expected = cell.steered(steering, alpha)
    assert_agree(logits(adapted), expected, logits(cell.base()))
    assert_agree(logits(adapted.merge_and_unload()), expected, logits(cell.base()))


def test_the_adapter_has_the_ranks_of_the_deltas_and_scaling_1(cell):
    folder = cell.export(export_peft, low_rank(cell.kind), 1.0)
    assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    config = read_json(folder / "adapter_config.json")
    assert config["r"] == config["lora_alpha"] == 5  # 1 + 4
    assert config["rank_pattern"] == config["alpha_pattern"] == dict(zip(LINEARS[cell.kind][1:], (2, 3), strict=True))
    assert config["fan_in_fan_out"] == (cell.kind == "gpt2")
    assert config["base_model_name_or_path"] == str(cell.directory)
    tensors = load_file(folder / "adapter_model.safetensors")
    assert sorted(len(tensor) for name, tensor in tensors.items() if "lora_A" in name) == [2, 3, 5]
    adapted = peft.PeftModel.from_pretrained(cell.base(), folder)
    scalings = [layer.scaling["default"] for layer in adapted.modules() if hasattr(layer, "lora_A")]
    assert scalings == [1.0] * 3


def test_the_adapter_names_a_hub_model_by_its_id_and_revision(cell):
    write_json({**cell.source, "revision": "abc"}, cell.directory / "source.json")
    config = read_json(cell.export(export_peft, low_rank(cell.kind), 1.0) / "adapter_config.json")
    assert (config["base_model_name_or_path"], config["revision"]) == ("somewhere/base", "abc")


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("family", [low_rank, dense])
def test_transformers_loads_the_merged_model_and_its_logits_are_the_steered_ones(cell, family, alpha):
    steering = family(cell.kind)
    folder = cell.export(export_model, steering, alpha)
    merged = AutoModelForCausalLM.from_pretrained(folder)
    assert merged.dtype is torch.float32
    assert_agree(logits(merged), cell.steered(steering, alpha), logits(cell.base()))
    for name, weight in cell.base().named_parameters():
        steered = name.removesuffix(".weight") in dict(steering.edits)
        assert torch.equal(weight, merged.get_parameter(name)) != steered, name


def test_the_merged_model_is_complete(cell):
    folder = cell.export(export_model, dense(cell.kind), 1.0)
    assert not (folder / "source.json").exists()
    for tokenizer in (AutoTokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(cell.directory)):
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
def test_llama_cpp_reads_the_control_vector_as_the_steering(cell, places, alpha):
    steering = added(cell.kind, *places)
    path = cell.export(export_control_vector, steering, alpha, "control_vector.gguf")
    assert_agree(logits(llama_cpp(cell.base(), path)), cell.steered(steering, alpha), logits(cell.base()))


def test_the_control_vector_says_what_it_is(cell):
    path = cell.export(export_control_vector, added(cell.kind, 2), 1.0, "control_vector.gguf")
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert fields == {
        "general.architecture": "controlvector", "controlvector.model_hint": cell.kind, "controlvector.layer_count": 1,
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
    cell = Cell("llama", tmp_path)
    with pytest.raises(SteerdoseError, match=message):
        cell.export(function, steering, 1.0)
    assert not (tmp_path / "exported").exists()


def test_alpha_0_and_modules_of_another_model_are_refused(tmp_path):
    cell = Cell("llama", tmp_path)
    with pytest.raises(SteerdoseError, match="alpha 0 is the unsteered model"):
        cell.export(export_model, dense("llama"), 0.0)
    for function in (export_peft, export_model):
        with pytest.raises(SteerdoseError, match=r"c_attn: expected a linear layer, found no such module"):
            cell.export(function, low_rank("gpt2"), 1.0)
    embedding = Steering("embedding", (("model.embed_tokens", LowRank(normal(2, 258), normal(32, 2))),), {})
    with pytest.raises(SteerdoseError, match="expected a linear layer, found Embedding"):
        cell.export(export_model, embedding, 1.0)


def test_a_weight_that_another_module_shares_is_not_merged(tmp_path):
    cell = Cell("gpt2", tmp_path)  # its output head is its embedding
    steering = Steering("head", (("lm_head", LowRank(normal(2, 32), normal(258, 2))),), {})
    with pytest.raises(SteerdoseError, match=r"lm_head shares its weight with \['transformer.wte.weight'\].*peft"):
        cell.export(export_model, steering, 1.0)
    adapted = peft.PeftModel.from_pretrained(cell.base(), cell.export(export_peft, steering, -1.7)).eval()
    assert_agree(logits(adapted), cell.steered(steering, -1.7), logits(cell.base()))


@pytest.mark.parametrize(
    ("function", "kind", "name"),
    [
        (export_control_vector, "control_vector", "vector.gguf"),
        (export_peft, "peft", "adapter"),
        (export_model, "checkpoint", "merged"),
    ],
)
def test_what_is_exported_can_be_imported_again(cell, function, kind, name):
    steering = added(cell.kind, 1, 2) if kind == "control_vector" else low_rank(cell.kind)
    exported = cell.export(function, steering, -1.7, name)
    import_steering(
        model=str(cell.directory), cell={"model": "m", "behavior": "b", "seed": 0, "method": "again"},
        settings={"kind": "import", "format": kind, "positive": str(exported), "negative": None}, metadata={},
        output=str(cell.folder / "again.safetensors"), geometry=str(cell.folder / "again.json"),
    )  # fmt: skip
    again, model = Steering.load(cell.folder / "again.safetensors"), cell.base()
    assert {type(edit) for _, edit in again.edits} == {type(edit) for _, edit in steering.edits}
    with torch.inference_mode(), steer(model, again, 1.0):
        logits = model(IDS).logits
    assert_agree(logits, cell.steered(steering, -1.7), cell.base()(IDS).logits)
