"""Activations at the last prompt token, of one module or of all blocks, whatever shares a batch."""

import polars as pl
import pytest
import tiny
import torch
from steerdose.errors import SteerdoseError
from steerdose.files import write_json
from steerdose.make.captures import (
    RESIDUAL,
    SIDES,
    Captured,
    capture,
    capture_activations,
    modules_of_blocks,
    persona_prompts,
)
from steerdose.model import chat
from steerdose.model.architecture import find_blocks
from steerdose.model.loading import LoadedModel
from steerdose.study.settings import CaptureActivations, Run

PROMPTS = [[5, 6, 7], [9] * 7, [30, 31], [8, 9, 10], [6, 6, 6]]


@pytest.fixture(name="loaded")
def loaded_fixture():
    return LoadedModel(tiny.model(), tiny.tokenizer(), "0")


@pytest.mark.parametrize("kind", [kind for kind in tiny.CONFIGS if kind not in ("mamba", "lfm2", "qwen3_next")])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_capture_reads_the_last_token_whatever_the_batch(kind, batch_size):
    loaded = LoadedModel(tiny.model(kind), tiny.tokenizer(), "0")
    blocks = find_blocks(loaded.model)
    found = capture(loaded, blocks[:2], PROMPTS, batch_size)
    assert not any(module._forward_hooks for module in loaded.model.modules())
    for i, prompt in enumerate(PROMPTS):
        with torch.inference_mode():
            states = loaded.model(torch.tensor([prompt]), output_hidden_states=True).hidden_states
        for layer, path in enumerate(blocks[:2]):
            torch.testing.assert_close(found[path][i], states[layer + 1][0, -1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_one_capture_of_all_blocks_is_that_of_each_block(kind):
    loaded = LoadedModel(tiny.model(kind), tiny.tokenizer(), "0")
    blocks = find_blocks(loaded.model)
    together = capture(loaded, blocks, PROMPTS, 3)
    assert list(together) == blocks
    for block in blocks:
        alone = capture(loaded, [block], PROMPTS, 3)[block]
        assert torch.equal(together[block], alone)
    assert not torch.allclose(together[blocks[0]], together[blocks[1]])


def test_the_batch_size_changes_rounding_only(loaded):
    blocks = find_blocks(loaded.model)
    alone = capture(loaded, blocks, PROMPTS, 1)
    for batch_size in (2, 3, 16):
        found = capture(loaded, blocks, PROMPTS, batch_size)
        for block in blocks:
            torch.testing.assert_close(found[block], alone[block], atol=1e-5, rtol=1e-5)


def test_a_module_that_a_prompt_does_not_pass_through_is_refused(loaded):
    block = loaded.model.model.layers[1]
    forward = block.mlp.forward

    def sometimes(x):
        """As an expert does, to which only some prompts are routed: here those of three tokens."""
        return block.mlp.up_proj(x).sum() * 0 + x if x.shape[1] == 3 else x

    block.mlp.forward = sometimes
    paths = ["model.layers.1.mlp.up_proj", "model.layers.1.mlp.down_proj"]
    with pytest.raises(SteerdoseError, match=r"2 of 5 prompts do not pass through model\.layers\.1\.mlp\.up_proj"):
        capture(loaded, paths[:1], PROMPTS, 2)
    with pytest.raises(SteerdoseError, match=r"5 of 5 prompts .*down_proj, .*choose another submodule"):
        capture(loaded, paths[1:], PROMPTS, 2)
    assert not any(module._forward_hooks for module in loaded.model.modules())
    block.mlp.forward = forward
    assert capture(loaded, paths[:1], PROMPTS, 2)[paths[0]].shape == (5, 64)


def test_a_module_that_flattens_its_batch_is_refused(loaded):
    block = loaded.model.model.layers[1]
    block.mlp.forward = lambda x: block.mlp.up_proj(x.flatten(0, 1))[:, :32].reshape(x.shape)
    with pytest.raises(SteerdoseError, match=r"up_proj flattens its batch"):
        capture(loaded, ["model.layers.1.mlp.up_proj"], PROMPTS, 2)
    assert not any(module._forward_hooks for module in loaded.model.modules())


@pytest.mark.parametrize(
    ("kind", "submodule", "expected"),
    [
        ("llama", RESIDUAL, "model.layers.{}"),
        ("llama", "self_attn.o_proj", "model.layers.{}.self_attn.o_proj"),
        ("gpt2", "mlp.c_proj", "transformer.h.{}.mlp.c_proj"),
    ],
)
def test_a_submodule_is_looked_up_in_every_block(kind, submodule, expected):
    assert modules_of_blocks(tiny.model(kind), submodule) == [expected.format(layer) for layer in range(3)]


def test_a_submodule_that_no_block_has_is_refused_with_those_there_are():
    with pytest.raises(
        SteerdoseError, match=r"submodule 'attn' does not exist in model\.layers\.0; it has \['self_attn'"
    ):
        modules_of_blocks(tiny.model(), "attn")


def test_the_rule_writes_the_activations_of_every_prompt_under_both_personas(tmp_path, loaded):
    tiny.save(tmp_path / "model")
    write_json({"trust_remote_code": False, "sha256": "12"}, tmp_path / "model/source.json")
    rows = {"prompt": ["one", "two two"], "persona_pos": ["be good"] * 2, "persona_neg": ["be bad!!"] * 2}
    pairs = pl.DataFrame(rows)
    sampled_twice = pl.concat([pairs, pairs])
    assert persona_prompts(sampled_twice).equals(pairs)
    sampled_twice.write_parquet(tmp_path / "pairs.parquet")
    capture_activations(
        model=str(tmp_path / "model"), pairs=str(tmp_path / "pairs.parquet"), submodule=RESIDUAL,
        settings=CaptureActivations(run=Run(dtype="float32", device="cpu"), batch_size=3),
        activations=str(tmp_path / "a.safetensors"),
    )  # fmt: skip
    found = Captured.load(tmp_path / "a.safetensors")
    assert found.modules == ("model.layers.0", "model.layers.1", "model.layers.2")
    assert found.prompts == ("one", "two two")
    assert found.model_sha256 == "12"
    for persona, side in zip(SIDES, (found.positive, found.negative), strict=True):
        for i, prompt in enumerate(found.prompts):
            ids = chat.prompt_ids(loaded.tokenizer, chat.conversation(prompt, rows[persona][i]))
            states = loaded.model(torch.tensor([ids]), output_hidden_states=True).hidden_states
            torch.testing.assert_close(side[found.modules[1]][i], states[2][0, -1].detach(), atol=1e-5, rtol=1e-4)
