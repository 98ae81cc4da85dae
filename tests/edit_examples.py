"""One random edit of every kind."""

import torch
from steerdose.steering.edits import (
    Ablate,
    AblateS,
    Add,
    AddNearest,
    AddS,
    Dense,
    Gated,
    LowRank,
    Rotate,
    ScaleS,
    ShiftClusters,
    Transport,
    Turn,
)

IN, OUT = 7, 5


def unit(v):
    return v / v.norm(dim=-1, keepdim=True)


def example(name):
    g = torch.Generator().manual_seed(3)

    def normal(*shape):
        return torch.randn(*shape, generator=g)

    basis = torch.linalg.qr(normal(OUT, 4)).Q
    s_space = {"basis": basis, "root": normal(4).abs() + 0.2, "bias": normal(OUT), "d": unit(normal(4))}
    return {
        "LowRank": lambda: LowRank(normal(2, IN), normal(OUT, 2)),
        "Dense": lambda: Dense(normal(OUT, IN)),
        "Add": lambda: Add(normal(OUT)),
        "Ablate": lambda: Ablate(unit(normal(OUT))),
        "Gated": lambda: Gated(unit(normal(OUT)), torch.tensor(0.1)),
        "AddNearest": lambda: AddNearest(unit(normal(3, OUT))),
        "Turn": lambda: Turn(unit(normal(OUT))),
        "Rotate": lambda: Rotate(basis[:, 0], basis[:, 1]),
        "Transport": lambda: Transport(normal(OUT), normal(OUT)),
        "ShiftClusters": lambda: ShiftClusters(
            normal(3, OUT), normal(3, OUT), torch.tensor([0.2, 0.3, 0.5]).log(), torch.tensor(0.8)
        ),
        "AddS": lambda: AddS(**s_space),
        "AblateS": lambda: AblateS(**s_space),
        "ScaleS": lambda: ScaleS(**s_space),
    }[name]()
