"""Parts of a weight delta: cut from a file, kept in one, and each a steering of its own."""

import pytest
import torch
from steerdose.columns import Cell
from steerdose.cuts.whole import layer_of
from steerdose.errors import SteerdoseError
from steerdose.files import read_json
from steerdose.make.parts import make_parts
from steerdose.steering.edits import LowRank, matrix
from steerdose.steering.steering import Steering
from steerdose.study.parts import Parts
from steerdose.study.settings import MakeParts

PATHS = [
    f"model.layers.{layer}.{module}"
    for layer in (0, 2, 11)
    for module in ("self_attn.q_proj", "mlp.down_proj", "mlp.up_proj")
]
NAMES = {"layer": (0, 2, 11), "module": ("q_proj", "down_proj", "up_proj")}


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def whole():
    edits = tuple((path, LowRank(normal(2, 5, seed=i), normal(3, 2, seed=100 + i))) for i, path in enumerate(PATHS))
    return Steering("lora", edits, {"model_sha256": "5"})


@pytest.fixture(name="cut")
def cut_fixture(tmp_path):
    """Cut the whole; return the steering of all parts and geometry.json."""
    whole().save(tmp_path / "lora.safetensors")

    def run(by, names, entry="lora_by"):
        make_parts(
            source=str(tmp_path / "lora.safetensors"), weights=[], bases=[], cell=Cell("m", "b", 0),
            settings=MakeParts(method=Parts(kind="parts", of="lora", by=by, names=names)), entry=entry,
            steering=str(tmp_path / "parts.safetensors"), geometry=str(tmp_path / "parts.json"),
        )  # fmt: skip
        return Steering.load(tmp_path / "parts.safetensors"), read_json(tmp_path / "parts.json")

    return run


@pytest.mark.parametrize("by", NAMES)
def test_the_parts_make_up_the_whole(cut, by):
    method = Parts(kind="parts", of="lora", by=by, names=NAMES[by])
    members = [cut(by, NAMES[by])[0].member(name) for name in method.members("lora_by")]
    assert [member.method for member in members] == [f"lora_by.{name}" for name in NAMES[by]]
    total = dict.fromkeys(PATHS, torch.zeros((), dtype=torch.float64))
    for member in members:
        for path, edit in member.edits:
            total[path] = total[path] + matrix(edit)
    assert sum(len(member.edits) for member in members) == len(PATHS)
    for path, edit in whole().edits:
        assert torch.equal(total[path], matrix(edit)), path


def test_a_part_is_what_lies_in_its_layer_or_bears_its_name(cut):
    layers, _ = cut("layer", ("2",))
    assert [path for path, _ in layers.member("lora_by.2").edits] == PATHS[3:6]
    modules, geometry = cut("module", ("down_proj", "q_proj"))
    assert [path for path, _ in modules.member("lora_by.down_proj").edits] == PATHS[1::3]
    assert [path for path, _ in modules.member("lora_by.q_proj").edits] == PATHS[0::3]
    assert len(modules.edits) == 6, "up_proj is in no part"
    assert [(each["member"], each["module"]) for each in geometry["modules"]] == [
        (path.rpartition(".")[2], path) for path, _ in modules.edits
    ]
    assert geometry["method"] == "lora_by"


def test_a_member_knows_where_it_comes_from_and_is_no_file_of_parts_itself(cut):
    member = cut("layer", (0, 2))[0].member("lora_by.2")
    assert member.metadata["model_sha256"] == "5"
    assert MakeParts.parse(member.metadata["config"]).method.of == "lora"
    assert member.member("anything") is member


def test_a_plain_steering_is_its_own_only_member():
    plain = whole()
    assert plain.member("lora") is plain


def test_parts_that_overlap_are_kept_in_one_file(cut):
    """o_proj would be a writer and in the attention; here the MLP's writers are in two parts."""
    roles, _ = cut("role", ("writers", "mlp"))
    both = [path for path, _ in roles.member("lora_by.writers").edits]
    assert both == PATHS[1::3]
    assert set(both) < {path for path, _ in roles.member("lora_by.mlp").edits}


def test_a_member_that_the_file_lacks_is_refused(cut):
    with pytest.raises(SteerdoseError, match=r"lora_by\.7"):
        cut("layer", (0, 2))[0].member("lora_by.7")


@pytest.mark.parametrize(
    ("by", "names", "message"),
    [
        ("layer", (0, 5, 7), r"methods\.cut\.names: lora: it has no layer 5; it has \['0', '2', '11'\]"),
        ("module", ("k_proj",), r"methods\.cut\.names: lora: it has no module k_proj; it has \['q_proj', 'down_"),
    ],
)
def test_a_part_that_the_whole_lacks_is_refused_with_those_there_are(cut, tmp_path, by, names, message):
    with pytest.raises(SteerdoseError, match=message):
        cut(by, names, entry="cut")
    assert not (tmp_path / "parts.safetensors").exists()


def test_the_layer_is_the_number_in_the_path():
    assert layer_of("transformer.h.12.attn.c_attn") == "12"
    assert layer_of("model.layers.3.mlp.experts.5.up_proj") == "3"
    with pytest.raises(SteerdoseError, match="lm_head lies in no block, so it has no layer; cut by module instead"):
        layer_of("lm_head")
