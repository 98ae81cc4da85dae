"""Tiny work for the engine: probes, prompts, steerings of a random model."""

import torch
from steerdose.engine.probe import Probe
from steerdose.model.architecture import find_blocks
from steerdose.steering.edits import Add, LowRank
from steerdose.steering.steering import Steering

END = frozenset([0])
PROBES = {  # two lengths of suffix, and one that depends on the text
    "short": Probe(suffix=(1, 40, 41), first=(50, 51), second=(60,)),
    "long": Probe(
        suffix=(9, 8, 7, 6, 5), first=(70,), second=(80, 81), in_thought=(33, 9, 8, 7, 6, 5, 4),
        is_thinking=lambda ids: sum(ids) % 2 == 0,
    ),
}  # fmt: skip
PROMPTS = [(5, 9, 17), (30, 31, 32, 33, 34, 35, 36), (100, 20)]


def direction(model, seed=1):
    v = torch.randn(32, generator=torch.Generator().manual_seed(seed))
    return Steering("direction", ((find_blocks(model)[1], Add(v / v.norm())),), {})


def low_rank(model, module):
    generator = torch.Generator().manual_seed(2)
    weight = dict(model.named_modules())[module].weight
    rows, columns = weight.shape if type(dict(model.named_modules())[module]).__name__ != "Conv1D" else weight.T.shape
    edit = LowRank(A=torch.randn(3, columns, generator=generator), B=0.1 * torch.randn(rows, 3, generator=generator))
    return Steering("low_rank", ((module, edit),), {})
