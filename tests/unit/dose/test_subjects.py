"""From the methods of a job to interventions."""

import torch
from steerdose.dose.subjects import interventions
from steerdose.files import write_json
from steerdose.steering.edits import Add
from steerdose.steering.steering import MEMBERS, Steering


def test_every_method_of_a_file_has_its_own_dose_whatever_the_order_of_the_calibrations(tmp_path):
    edits = [(f"layers.{i}", Add(torch.ones(4) * (i + 1))) for i in range(2)]
    Steering("parts", tuple(edits), {MEMBERS: '["q_proj", "down_proj"]'}).save(tmp_path / "parts.safetensors")
    for name, dose in (("q_proj", 2.0), ("down_proj", 5.0)):
        write_json({"positive": {"c_star": dose}, "negative": {"c_star": dose}}, tmp_path / f"parts.{name}.json")
    calibrations = [str(tmp_path / f"parts.{name}.json") for name in ("q_proj", "down_proj")]
    for order in (calibrations, calibrations[::-1]):
        for name, dose, path in (("q_proj", 2.0, "layers.0"), ("down_proj", 5.0, "layers.1")):
            (found,) = interventions(f"parts.{name}", [1], [str(tmp_path / "parts.safetensors")], order, {})
            assert (found.coefficient, found.steering.edits[0][0]) == (dose, path)
