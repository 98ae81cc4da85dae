"""Imported adapters and checkpoints: what they change in the model, and one clear error for all that does not fit."""

import json

import peft
import pytest
import tiny
import torch
from import_examples import HUB, IDS, llama_fixture, refuse, resolved, take_fixture  # noqa: F401
from safetensors.torch import load_file, save_file
from steerdose.errors import SteerdoseError
from steerdose.files import write_json
from steerdose.steering.steering import steer

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
