"""Activations at the last prompt token, and directions made of them."""

import polars as pl
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from steerdose import chat
from steerdose.models import LoadedModel, find_blocks
from steerdose.repe import ESTIMATORS, capture, fit_direction
from steerdose.tables import write_json

PROMPTS = [[5, 6, 7], [9] * 7, [30, 31], [8, 9, 10]]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral", "gemma3"])
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


@pytest.mark.parametrize("estimator", ESTIMATORS)
@given(seed=st.integers(0, 2**31), strength=st.floats(2.0, 50.0))
def test_a_planted_direction_is_found(estimator, seed, strength):
    g = torch.Generator().manual_seed(seed)
    planted = torch.randn(16, generator=g)
    planted /= planted.norm()
    shared = torch.randn(64, 16, generator=g)
    positive = shared + strength * planted + 0.1 * torch.randn(64, 16, generator=g)
    edit = ESTIMATORS[estimator](positive, shared)
    assert edit.v.norm() == pytest.approx(1, abs=1e-6)
    assert edit.v @ planted > 0.99


def test_fit_direction_equals_the_mean_difference_by_hand():
    loaded = LoadedModel(tiny.model(), tiny.tokenizer(), "0")
    pairs = pl.DataFrame(
        {"prompt": ["one", "two two"], "persona_pos": ["be good"] * 2, "persona_neg": ["be bad!!"] * 2}
    )
    method = {"estimator": "mean_diff", "depths": [0.4, 0.9]}
    edits = fit_direction(loaded, pl.concat([pairs, pairs]), method, batch_size=3)
    assert list(edits) == [find_blocks(loaded.model)[1], find_blocks(loaded.model)[2]]
    means = []
    for persona in ("be good", "be bad!!"):
        rows = []
        for prompt in pairs["prompt"]:
            ids = chat.prompt_ids(loaded.tokenizer, chat.conversation(prompt, persona))
            rows.append(loaded.model(torch.tensor([ids]), output_hidden_states=True).hidden_states[2][0, -1].detach())
        means.append(torch.stack(rows).mean(0))
    v = means[0] - means[1]
    torch.testing.assert_close(edits[find_blocks(loaded.model)[1]].v, v / v.norm(), atol=1e-5, rtol=1e-4)


def test_equal_personas_are_refused(tmp_path):
    from steerdose.errors import SteerdoseError
    from steerdose.repe import fit_repe

    tiny.save(tmp_path / "model")
    write_json({"trust_remote_code": False, "sha256": "0"}, tmp_path / "model/source.json")
    pairs = pl.DataFrame({"prompt": ["one"], "persona_pos": ["same"], "persona_neg": ["same"]})
    pairs.write_parquet(tmp_path / "pairs.parquet")
    settings = {
        "method": {"estimator": "mean_diff", "depths": [0.5]}, "batch_size": 1, "dtype": "float32", "device": "cpu",
    }  # fmt: skip
    with pytest.raises(SteerdoseError, match="all zeros.*personas"):
        fit_repe(
            model=str(tmp_path / "model"), pairs=str(tmp_path / "pairs.parquet"), method="m", settings=settings,
            metadata={}, output=str(tmp_path / "s.safetensors"), geometry=str(tmp_path / "g.json"),
        )  # fmt: skip
    assert not list(tmp_path.glob("*s.safetensors*"))
