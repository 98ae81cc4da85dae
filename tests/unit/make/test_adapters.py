"""The contract of weight steering: every PEFT family of config and schema trains, reloads, merges and steers.

All of it on a tiny Llama, through the functions that the rules call.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny
import torch
import yaml
from adapter_examples import IDS, entry, pairs
from reference.effective_weights import effective_deltas
from reference.rollout import steered_copy
from steerdose.columns import Cell
from steerdose.files import read_json, write_json
from steerdose.make.adapters import target_modules, train, training_arguments, training_examples
from steerdose.make.delta import MODES, merge_diff
from steerdose.make.merged import AdapterDelta
from steerdose.model.loading import LoadedModel
from steerdose.steering.edits import matrix
from steerdose.steering.steering import Steering, steer
from steerdose.study.methods import PEFT_TYPES, Adapter
from steerdose.study.settings import MergeDiff

ROOT = Path(__file__).parents[3]
ENTRIES = {
    name: Adapter.parse(json.dumps(found))
    for name, found in yaml.safe_load((ROOT / "config.yaml").read_text())["methods"].items()
    if found["kind"] == "adapter"
}
OPTIONS = {  # of the families that config.yaml does not show; those that need none have none
    "ADALORA": {"init_r": 4, "target_r": 2, "total_step": 4, "tinit": 1, "tfinal": 1},
    "C3A": {"block_size": 8},
    "FOURIERFT": {"n_frequency": 50},
    "HRA": {"r": 2},
    "LOHA": {"r": 2},
    "LOKR": {"r": 2},
    "MISS": {"r": 8},
    "PSOFT": {"r": 4},
    "PVERA": {"r": 8},
    "RANDLORA": {"r": 4},
    "ROAD": {"group_size": 8},
    "SHIRA": {"r": 2},
    "VBLORA": {"vector_length": 8, "num_vectors": 16, "topk": 2, "r": 2},
    "VERA": {"r": 8},
    "WAVEFT": {"n_frequency": 32},
}
SHOWN = {shown.peft_type for shown in ENTRIES.values()}
FURTHER = {
    family.lower(): entry(peft_type=family, options=OPTIONS.get(family, {}))
    for family in PEFT_TYPES
    if family not in SHOWN
}
FURTHER |= {
    name: entry(options={"r": 2, "lora_alpha": 4, **options})
    for name, options in {
        "olora": {"init_lora_weights": "olora"},
        "rslora_pissa": {"init_lora_weights": "pissa", "use_rslora": True},
    }.items()
}
METHODS = ENTRIES | FURTHER
# Families that train beside a residual of the base weight: its rounding to fp32 puts the model that was trained off by
# this share of the weight, which the delta leaves out.
ROUNDED = {"pissa": 6e-8, "olora": 6e-8, "rslora_pissa": 6e-8, "deft": 6e-8}


@dataclass(frozen=True)
class Pair:
    """Two trained adapters: their entry, the model and adapter folders, and the obvious deltas of both signs."""

    name: str
    method: Adapter
    folder: Path
    twins: dict[str, dict[str, torch.Tensor]]

    def merge(self, mode: str) -> tuple[Steering, dict]:
        output, geometry = self.folder / f"{mode}.safetensors", self.folder / f"{mode}.geometry.json"
        if not output.exists():
            merge_diff(
                model=str(self.folder / "model"), positive=str(self.folder / "positive"),
                negative=str(self.folder / "negative"), cell=Cell("m", "b", 0),
                settings=MergeDiff(method=self.method.model_copy(update={"delta": mode})), entry=self.name,
                steering=str(output), geometry=str(geometry),
            )  # fmt: skip
        return Steering.load(output), read_json(geometry)


@pytest.fixture(scope="module")
def pair(request, tmp_path_factory):
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    tiny.save(folder / "model")
    write_json({"sha256": "0", "trust_remote_code": False}, folder / "model/source.json")
    method = METHODS[name].model_copy(update={"training": entry().training})
    twins = {}
    for sign in ("positive", "negative"):
        loaded = LoadedModel(tiny.model(), tiny.tokenizer(), "0")
        examples = training_examples(loaded.tokenizer, pairs(), sign, 64)
        trained, _ = train(loaded, name, method, examples[:6], examples[6:], 0, folder / sign)
        twins[sign] = effective_deltas(tiny.model(), trained)
    return Pair(name, method, folder, twins)


def total(deltas):
    return torch.cat([delta.flatten() for delta in deltas.values()]).norm()


@pytest.mark.parametrize("pair", METHODS, indirect=True)
def test_the_saved_adapter_is_the_trained_change_of_the_untouched_weights(pair):
    base = tiny.model()
    paths = target_modules(base, pair.method.target_modules, pair.method.layer_range)
    for sign, twin in pair.twins.items():
        found = {path: delta for path, delta in AdapterDelta(base, pair.folder / sign).items() if delta.any()}
        assert sorted(twin) == sorted(paths)
        assert set(found) == {path for path in paths if twin[path].any()}, "AdaLoRA may take all rank from a module"
        for path, delta in found.items():
            rounding = ROUNDED.get(pair.name, 0.0) * base.get_submodule(path).weight.norm()
            assert (delta - twin[path]).norm() <= 1e-6 * twin[path].norm() + rounding, path


@pytest.mark.parametrize("pair", METHODS, indirect=True)
def test_every_mode_stores_what_it_says(pair):
    positive, negative = pair.twins["positive"], pair.twins["negative"]
    difference = {path: positive[path] - negative[path] for path in positive}
    shared = [path for path in positive if positive[path].any() and negative[path].any()]
    p, n = (total({path: side[path] for path in shared}) for side in (positive, negative))
    bisector = {path: positive[path] / p - negative[path] / n for path in positive}
    wanted = {
        "difference": difference,
        "bisector": {path: delta * total(difference) / total(bisector) for path, delta in bisector.items()},
        "positive": positive,
        "negative": {path: -delta for path, delta in negative.items()},
    }
    assert sorted(wanted) == sorted(MODES)
    for mode, deltas in wanted.items():
        steering, found = pair.merge(mode)
        stored = {path: matrix(edit) for path, edit in steering.edits}
        error = {path: delta - stored.get(path, torch.zeros(())) for path, delta in deltas.items()}
        assert total(error) <= (1e-4 if pair.name in ROUNDED else 3e-6) * total(deltas), mode
        assert found["delta"] == mode
        assert found["relative_error"] <= 2e-6
        assert found["norm_delta"] == pytest.approx(float(total(difference)), rel=1e-5)
        assert sum(m["n_parameters"] for m in found["modules"]) == sum(
            tensor.numel() for _, edit in steering.edits for tensor in edit.tensors().values()
        )


@pytest.mark.parametrize("pair", METHODS, indirect=True)
@pytest.mark.parametrize("c", [0.5, -1, 2])
def test_steering_by_hooks_is_steering_by_weights(pair, c):
    model, steering = tiny.model(), pair.merge("difference")[0]
    with torch.inference_mode():
        unsteered, merged = model(IDS).logits, steered_copy(model, steering, c)(IDS).logits
        with steer(model, steering, c):
            torch.testing.assert_close(model(IDS).logits, merged, atol=1e-4, rtol=0)
        assert (merged - unsteered).abs().max() > 1e-3
        with steer(model, steering, 0.0):
            assert torch.equal(model(IDS).logits, unsteered)


@pytest.mark.parametrize("pair", ["pissa", "olora", "rslora_pissa"], indirect=True)
def test_an_adapter_that_took_over_base_weights_is_saved_as_one_that_does_not(pair):
    saved = read_json(pair.folder / "positive/adapter_config.json")
    assert saved["init_lora_weights"] is True, "else every reader would have to repeat the decomposition"
    assert saved["r"] == 2 * pair.method.options["r"]


def test_training_stays_on_its_device_with_its_batch_size_however_many_gpus_there_are(monkeypatch, tmp_path):
    chosen = []
    for name, fake in {"is_available": lambda: True, "device_count": lambda: 4, "set_device": chosen.append}.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    place = torch.device("cuda:1")
    found = training_arguments(entry().training.model_copy(update={"batch_size": 3}), str(tmp_path), place, 0)
    assert (found.device, found.n_gpu, found.train_batch_size, chosen[-1]) == (place, 1, 3, place)
