"""Edits fitted to captured activations, and how stable they are."""

import polars as pl
import pytest
import tiny
import torch
from steerdose.columns import Cell
from steerdose.errors import SteerdoseError
from steerdose.files import read_json, write_json
from steerdose.make.captures import RESIDUAL, Captured, capture_activations
from steerdose.make.contrast import Contrast
from steerdose.make.estimators import ESTIMATORS
from steerdose.make.fit import contrasts, fit_repe, stability
from steerdose.steering.steering import Steering
from steerdose.study.methods import Activation
from steerdose.study.settings import CaptureActivations, FitRepe, Run


def method(estimator="mean_diff", depths=(0.5,), **more):
    return Activation(kind="activation", estimator=estimator, depths=depths, **more)


@pytest.fixture
def fit(tmp_path):
    """Capture activations of a tiny model and fit a method to them; return the steering and the geometry."""
    tiny.save(tmp_path / "model")
    write_json({"trust_remote_code": False, "sha256": "7"}, tmp_path / "model/source.json")

    def run(fitted, personas=("be good", "be bad!!"), prompts=12, name="m"):
        pairs = pl.DataFrame({"prompt": [f"question {i} of {prompts}" for i in range(prompts)]})
        pairs = pairs.with_columns(persona_pos=pl.lit(personas[0]), persona_neg=pl.lit(personas[1]))
        pairs.write_parquet(tmp_path / "pairs.parquet")
        capture_activations(
            model=str(tmp_path / "model"), pairs=str(tmp_path / "pairs.parquet"),
            submodule=fitted.submodule or RESIDUAL,
            settings=CaptureActivations(run=Run(dtype="float32", device="cpu"), batch_size=4),
            activations=str(tmp_path / "a.safetensors"),
        )  # fmt: skip
        fit_repe(
            model=str(tmp_path / "model"), activations=str(tmp_path / "a.safetensors"), cell=Cell("tiny", "b", 0),
            settings=FitRepe(method=fitted), entry=name, steering=str(tmp_path / "s.safetensors"),
            geometry=str(tmp_path / "g.json"),
        )  # fmt: skip
        return Steering.load(tmp_path / "s.safetensors"), read_json(tmp_path / "g.json")

    return run


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator_fits_and_tells_its_stability(fit, estimator):
    submodule = "self_attn.o_proj" if estimator in ("sspace", "sspace_ablate", "sspace_damp_amp") else None
    fitted = method(estimator, (0.1, 0.9), submodule=submodule)
    steering, geometry = fit(fitted)
    assert geometry["method"] == steering.method == "m"
    assert [entry["module"] for entry in geometry["modules"]] == [path for path, _ in steering.edits]
    assert {path.partition(".self_attn")[0] for path, _ in steering.edits} == {"model.layers.0", "model.layers.2"}
    for (_, edit), entry in zip(steering.edits, geometry["modules"], strict=True):
        assert entry["edit"] == type(edit).__name__
        assert entry["norm_mean_difference"] > 0
        assert 0 < entry["stability"] <= 1
    assert fit(fitted)[1] == geometry


def test_the_file_says_where_it_comes_from(fit):
    metadata = fit(method())[0].metadata
    assert metadata["model_sha256"] == "7"
    assert [metadata[key] for key in ("model", "behavior", "seed")] == ["tiny", "b", "0"]
    assert FitRepe.parse(metadata["config"]).method == method()


@pytest.mark.parametrize(
    ("depths", "layers"), [((0.0, 0.1, 0.99, 1.0), [0, 2]), ((0.4, 0.9), [1, 2]), ((0.9, 0.4), [2, 1])]
)
def test_contrasts_are_chosen_by_depth_and_each_block_once(depths, layers):
    sides = [{f"block.{i}": torch.full((2, 4), float(10 * side + i)) for i in range(3)} for side in (0, 1)]
    captured = Captured(tuple(sides[0]), *sides, ("a", "b"), "0")
    found = contrasts(captured, method(depths=depths), "no model is loaded for it")
    assert list(found) == [f"block.{i}" for i in layers]
    for i, contrast in zip(layers, found.values(), strict=True):
        assert (contrast.positive == i).all()
        assert (contrast.negative == 10 + i).all()
        assert contrast.module is None


def test_options_reach_the_estimator_and_wrong_ones_stop_the_fit(fit):
    assert fit(method("topk_clusters", options={"clusters": 3}))[0].edits[0][1].v.shape == (3, 32)
    with pytest.raises(SteerdoseError, match=r"^methods\.m: options\.clusters is 13, but the fit has 12 different"):
        fit(method("topk_clusters", options={"clusters": 13}))


def test_too_few_prompts_for_halves_give_no_stability(fit):
    assert fit(method(), prompts=1)[1]["modules"][0]["stability"] is None
    assert fit(method("chars", options={"clusters": 7}))[1]["modules"][0]["stability"] is None


def test_shuffled_labels_leave_less_of_the_difference(fit):
    _, true = fit(method())
    control, shuffled = fit(method(shuffle_labels=True))
    again, _ = fit(method(shuffle_labels=True))
    other, _ = fit(method(shuffle_labels=True), name="other")
    assert shuffled["modules"][0]["norm_mean_difference"] < 0.8 * true["modules"][0]["norm_mean_difference"]
    assert torch.equal(control.edits[0][1].v, again.edits[0][1].v)
    assert not torch.equal(control.edits[0][1].v, other.edits[0][1].v)


def test_stability_is_1_for_a_clear_direction_and_near_0_for_noise():
    g = torch.Generator().manual_seed(0)
    negative, noise = torch.randn(40, 200, generator=g), torch.randn(40, 200, generator=g)
    prompts = [f"prompt {i}" for i in range(40)]
    clear = Contrast(negative + 3 + 0.01 * noise, negative)
    nothing = Contrast(noise, negative)
    assert stability(clear, prompts, ESTIMATORS["mean_diff"], 0) > 0.999
    assert abs(stability(nothing, prompts, ESTIMATORS["mean_diff"], 0)) < 0.1


def test_stability_of_an_added_direction_is_the_cosine_of_halves_by_hand():
    g = torch.Generator().manual_seed(0)
    contrast = Contrast(torch.randn(4, 8, generator=g) + 0.5, torch.randn(4, 8, generator=g))
    prompts = ["a", "b", "b", "a"]  # two different prompts: only one halving, whatever the draw
    halves = [contrast.rows(torch.tensor(rows)).mean_difference for rows in ([0, 3], [1, 2])]
    expected = float(torch.cosine_similarity(*halves, dim=0))
    assert stability(contrast, prompts, ESTIMATORS["mean_diff"], 5) == pytest.approx(expected, abs=1e-6)


def test_equal_personas_are_refused(fit, tmp_path):
    with pytest.raises(SteerdoseError, match="all zeros.*personas"):
        fit(method(), personas=("same", "same"))
    assert not list(tmp_path.glob("*s.safetensors*"))
