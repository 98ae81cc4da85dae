"""Activations at the last prompt token, edits fitted to them, and how stable these are."""

import polars as pl
import pytest
import tiny
import torch
from steerdose.errors import SteerdoseError
from steerdose.files import read_json, write_json
from steerdose.make.estimators import ESTIMATORS, Contrast
from steerdose.make.repe import capture, edited_modules, fit_repe, persona_prompts, read_contrasts, stability
from steerdose.model import chat
from steerdose.model.architecture import find_blocks
from steerdose.model.loading import LoadedModel
from steerdose.steering.steering import Steering

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


class Sometimes(torch.nn.Module):
    """A block beside a module that only long prompts reach, as in a mixture of experts."""

    def __init__(self, block):
        super().__init__()
        self.block, self.expert = block, torch.nn.Identity()

    def forward(self, hidden_states, **given):
        return self.block(self.expert(hidden_states) if hidden_states.shape[1] > 2 else hidden_states, **given)


def test_a_module_that_does_not_run_on_every_prompt_is_refused():
    loaded = LoadedModel(tiny.model(), tiny.tokenizer(), "0")
    layers = loaded.model.model.layers
    layers[1] = Sometimes(layers[1])
    path = "model.layers.1.expert"
    assert capture(loaded, [path], [PROMPTS[0], PROMPTS[1]], 1)[path].shape == (2, 32)
    with pytest.raises(SteerdoseError, match=rf"^{path} did not run on 1 of 4 prompts, the first of them number 2: "):
        capture(loaded, [path], PROMPTS, 2)
    assert not any(module._forward_hooks for module in loaded.model.modules())


def test_contrasts_equal_the_activations_by_hand():
    loaded = LoadedModel(tiny.model(), tiny.tokenizer(), "0")
    pairs = pl.DataFrame(
        {"prompt": ["one", "two two"], "persona_pos": ["be good"] * 2, "persona_neg": ["be bad!!"] * 2}
    )
    prompted = persona_prompts(pl.concat([pairs, pairs]))
    assert prompted.equals(pairs)
    found = read_contrasts(loaded, prompted, {"depths": [0.4, 0.9]}, batch_size=3)
    blocks = find_blocks(loaded.model)
    assert list(found) == [blocks[1], blocks[2]]
    for persona, side in (("be good", found[blocks[1]].positive), ("be bad!!", found[blocks[1]].negative)):
        for prompt, row in zip(pairs["prompt"], side, strict=True):
            ids = chat.prompt_ids(loaded.tokenizer, chat.conversation(prompt, persona))
            states = loaded.model(torch.tensor([ids]), output_hidden_states=True).hidden_states
            torch.testing.assert_close(row, states[2][0, -1].detach(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "submodule", "expected"),
    [
        ("llama", None, ["model.layers.0", "model.layers.2"]),
        ("llama", "self_attn.o_proj", ["model.layers.0.self_attn.o_proj", "model.layers.2.self_attn.o_proj"]),
        ("gpt2", "mlp.c_proj", ["transformer.h.0.mlp.c_proj", "transformer.h.2.mlp.c_proj"]),
    ],
)
def test_modules_are_chosen_by_depth_and_submodule(kind, submodule, expected):
    assert edited_modules(tiny.model(kind), {"depths": [0, 0.1, 0.99, 1], "submodule": submodule}) == expected


@pytest.fixture
def fit(tmp_path):
    """Fit an activation method on a tiny model; return the steering and the geometry."""
    tiny.save(tmp_path / "model")
    write_json({"trust_remote_code": False, "sha256": "0"}, tmp_path / "model/source.json")

    def run(method, personas=("be good", "be bad!!"), prompts=12, name="m"):
        pairs = pl.DataFrame({"prompt": [f"question {i} of {prompts}" for i in range(prompts)]})
        pairs = pairs.with_columns(persona_pos=pl.lit(personas[0]), persona_neg=pl.lit(personas[1]))
        pairs.write_parquet(tmp_path / "pairs.parquet")
        fit_repe(
            model=str(tmp_path / "model"),
            pairs=str(tmp_path / "pairs.parquet"),
            cell={"model": "tiny", "behavior": "b", "seed": 0, "method": name},
            settings={"method": {"depths": [0.5], **method}, "batch_size": 4, "dtype": "float32", "device": "cpu"},
            metadata={},
            output=str(tmp_path / "s.safetensors"),
            geometry=str(tmp_path / "g.json"),
        )
        return Steering.load(tmp_path / "s.safetensors"), read_json(tmp_path / "g.json")

    return run


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator_fits_and_tells_its_stability(fit, estimator):
    submodule = "self_attn.o_proj" if estimator in ("sspace", "sspace_ablate", "sspace_damp_amp") else None
    steering, geometry = fit({"estimator": estimator, "submodule": submodule, "depths": [0.1, 0.9]})
    assert geometry["method"] == steering.method == "m"
    assert [entry["module"] for entry in geometry["modules"]] == [path for path, _ in steering.edits]
    for (_, edit), entry in zip(steering.edits, geometry["modules"], strict=True):
        assert entry["edit"] == type(edit).__name__
        assert entry["norm_mean_difference"] > 0
        assert 0 < entry["stability"] <= 1
    assert fit({"estimator": estimator, "submodule": submodule, "depths": [0.1, 0.9]})[1] == geometry


def test_options_reach_the_estimator_and_wrong_ones_stop_the_fit(fit):
    assert fit({"estimator": "topk_clusters", "options": {"clusters": 3}})[0].edits[0][1].v.shape == (3, 32)
    with pytest.raises(SteerdoseError, match=r"^methods\.m: options\.clusters is 13, but the fit has 12 different"):
        fit({"estimator": "topk_clusters", "options": {"clusters": 13}})
    with pytest.raises(SteerdoseError, match=r"^methods\.m: submodule 'attn' does not exist .* it has \['self_attn',"):
        fit({"estimator": "mean_diff", "submodule": "attn"})


def test_too_few_prompts_for_halves_give_no_stability(fit):
    assert fit({"estimator": "mean_diff"}, prompts=1)[1]["modules"][0]["stability"] is None
    assert fit({"estimator": "chars", "options": {"clusters": 7}})[1]["modules"][0]["stability"] is None


def test_shuffled_labels_leave_less_of_the_difference(fit):
    _, true = fit({"estimator": "mean_diff"})
    control, shuffled = fit({"estimator": "mean_diff", "shuffle_labels": True})
    again, _ = fit({"estimator": "mean_diff", "shuffle_labels": True})
    other, _ = fit({"estimator": "mean_diff", "shuffle_labels": True}, name="other")
    assert shuffled["modules"][0]["norm_mean_difference"] < 0.8 * true["modules"][0]["norm_mean_difference"]
    assert torch.equal(control.edits[0][1].v, again.edits[0][1].v)
    assert not torch.equal(control.edits[0][1].v, other.edits[0][1].v)


def test_stability_is_1_for_a_clear_direction_and_near_0_for_noise():
    g = torch.Generator().manual_seed(0)
    negative, noise = torch.randn(40, 200, generator=g), torch.randn(40, 200, generator=g)
    prompts = [f"prompt {i}" for i in range(40)]
    clear = Contrast(negative + 3 + 0.01 * noise, negative, torch.nn.Identity())
    nothing = Contrast(noise, negative, torch.nn.Identity())
    assert stability(clear, prompts, ESTIMATORS["mean_diff"], 0) > 0.999
    assert abs(stability(nothing, prompts, ESTIMATORS["mean_diff"], 0)) < 0.1


def test_stability_of_an_added_direction_is_the_cosine_of_halves_by_hand():
    g = torch.Generator().manual_seed(0)
    contrast = Contrast(torch.randn(4, 8, generator=g) + 0.5, torch.randn(4, 8, generator=g), torch.nn.Identity())
    prompts = ["a", "b", "b", "a"]  # two different prompts: only one halving, whatever the draw
    halves = [contrast.rows(torch.tensor(rows)).mean_difference for rows in ([0, 3], [1, 2])]
    expected = float(torch.cosine_similarity(*halves, dim=0))
    assert stability(contrast, prompts, ESTIMATORS["mean_diff"], 5) == pytest.approx(expected, abs=1e-6)


def test_equal_personas_are_refused(fit, tmp_path):
    with pytest.raises(SteerdoseError, match="all zeros.*personas"):
        fit({"estimator": "mean_diff"}, personas=("same", "same"))
    assert not list(tmp_path.glob("*s.safetensors*"))
