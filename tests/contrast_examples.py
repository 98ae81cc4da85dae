"""Contrasts with a planted direction, and a small block whose weights estimators may read."""

import torch
from steerdose.make.contrast import Contrast
from torch import nn

WIDTH, PROMPTS = 16, 64
LINEAR = {"sspace": "self_attn.o_proj", "sspace_ablate": "mlp.down_proj", "sspace_damp_amp": "self_attn.q_proj"}


class Block(nn.Module):
    """A block with one reader, one writer, and a square layer of each role."""

    def __init__(self, generator):
        super().__init__()
        for name, shape in {
            "up_proj": (24, WIDTH), "down_proj": (WIDTH, 24), "q_proj": (WIDTH, WIDTH), "o_proj": (WIDTH, WIDTH),
        }.items():  # fmt: skip
            layer = nn.Linear(shape[1], shape[0], bias=False)
            layer.weight.data = torch.randn(shape, generator=generator)
            setattr(self, name, layer)


def normal(g, *shape):
    return torch.randn(*shape, generator=g)


def planted(name, seed, strength=5.0):
    """Return a contrast whose positive side is the negative one, moved along a random unit direction, with noise."""
    g = torch.Generator().manual_seed(seed)
    v = normal(g, WIDTH)
    v /= v.norm()
    block = Block(g)
    module = block.o_proj if name in LINEAR else block
    shared = normal(g, PROMPTS, WIDTH)
    moved = shared + strength * v + 0.1 * normal(g, PROMPTS, WIDTH)
    return Contrast(moved, shared, module), v
