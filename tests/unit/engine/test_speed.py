"""The short measurement behind `make plan`: complete, positive, and without a trace in the model."""

from dataclasses import fields

import pytest
import tiny
import torch
from steerdose.engine import speed
from steerdose.engine.speed import measured
from steerdose.model.architecture import find_blocks
from steerdose.study.estimate import Speed
from steerdose.study.pace import Pace


def test_a_measurement_tells_all_that_a_plan_needs_and_leaves_the_model_as_it_was():
    loaded = tiny.loaded()
    before = {name: weight.clone() for name, weight in loaded.model.state_dict().items()}
    asked = [each.requires_grad for each in loaded.model.parameters()]
    found = measured(loaded, 24)
    assert {"threads", "start", *found} == {each.name for each in fields(Speed)}
    assert found["kept"] >= 0
    for pace in (found["plain"], found["edited"]):
        assert pace.keys() == {each.name for each in fields(Pace)}
        assert min(pace.values()) >= 0
        assert pace["row"] + pace["step"] > 0
        assert pace["read"] > 0
    assert all(seconds > 0 for seconds in found["trained"].values())
    assert found["weights"] == 4 * sum(each.numel() for each in loaded.model.parameters())
    assert found["parameters"] == sum(each.numel() for each in loaded.model.parameters())
    assert found["cache"] == 2 * 3 * 2 * 8, "keys and values of 3 blocks, 2 heads of 8"
    assert [each.requires_grad for each in loaded.model.parameters()] == asked
    assert all(each.grad is None for each in loaded.model.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in loaded.model.state_dict().items())


@pytest.mark.parametrize("kind", tiny.CONFIGS)
def test_linear_layers_of_every_architecture_are_edited(kind):
    edited = [path for path, _ in speed._deltas(tiny.loaded(kind)).edits]
    blocks = find_blocks(tiny.loaded(kind).model)
    assert {block for block in blocks if any(path.startswith(f"{block}.") for path in edited)} == set(blocks)


@pytest.mark.parametrize("kind", tiny.CONFIGS)
def test_every_architecture_can_be_measured(kind, monkeypatch):
    monkeypatch.setattr(speed, "TIMES", 1)
    found = measured(tiny.loaded(kind), 4)
    assert {"threads", "start", *found} == {each.name for each in fields(Speed)}
    assert found["edited"]["read"] > 0
    assert (found["cache"] == 0) == (kind == "mamba")
