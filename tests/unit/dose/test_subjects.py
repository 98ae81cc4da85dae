"""From the methods of a job to interventions."""

import torch
from steerdose.dose.subjects import interventions
from steerdose.files import write_json
from steerdose.steering.edits import Add
from steerdose.steering.steering import MEMBERS, Steering
from steerdose.study.settings import Subject


def test_every_method_of_a_file_has_its_own_dose(tmp_path):
    edits = [(f"layers.{i}", Add(torch.ones(4) * (i + 1))) for i in range(2)]
    Steering("parts", tuple(edits), {MEMBERS: '["q_proj", "down_proj"]'}).save(tmp_path / "parts.safetensors")
    c_stars = {"parts.q_proj": 2.0, "parts.down_proj": 5.0}
    search = {name: {sign: {"c_star": dose} for sign in ("positive", "negative")} for name, dose in c_stars.items()}
    write_json(search, tmp_path / "parts.search.json")
    files = [str(tmp_path / "parts.safetensors")], [str(tmp_path / "parts.search.json")]
    for (name, dose), path in zip(c_stars.items(), ("layers.1", "layers.0")[::-1], strict=True):
        (found,) = interventions(name, Subject(), [1], *files, {})
        assert (found.coefficient, found.steering.edits[0][0]) == (dose, path)
