"""Every kind of edit, under the name that steering files hold."""

from steerdose.steering.edit import TINY, Edit
from steerdose.steering.edits_direction import Ablate, Add, AddNearest, Gated, Rotate, Turn
from steerdose.steering.edits_linear import Dense, LowRank, matrix
from steerdose.steering.edits_sspace import AblateS, AddS, ScaleS
from steerdose.steering.edits_transport import ShiftClusters, Transport

__all__ = [
    "EDITS",
    "TINY",
    "Ablate",
    "AblateS",
    "Add",
    "AddNearest",
    "AddS",
    "Dense",
    "Edit",
    "Gated",
    "LowRank",
    "Rotate",
    "ScaleS",
    "ShiftClusters",
    "Transport",
    "Turn",
    "matrix",
]

EDITS: dict[str, type[Edit]] = {
    kind.__name__: kind
    for kind in (
        LowRank, Dense, Add, Ablate, Gated, AddNearest, Turn, Rotate, Transport, ShiftClusters, AddS, AblateS, ScaleS,
    )
}  # fmt: skip
