"""The bases of all hypotheses, as they were written to their file."""

from safetensors.torch import load_file

from steerdose.declarations.subspaces import SUBSPACE_BASES
from steerdose.files import read_table
from steerdose.subspaces.linear import Basis
from steerdose.subspaces.registry import Built

TOLD = ("block", "status", "family", "axis", "scope")


def read_subspaces(bases: str, told: str) -> list[Built]:
    """Return what `build_subspaces` wrote, without the values that bases were made of."""
    tensors = load_file(bases)
    found = []
    for row in read_table(told, SUBSPACE_BASES).iter_rows(named=True):
        Q = tensors.get(f"{row['subspace']}.{row['block']}")
        basis = None if Q is None else Basis(Q.double(), Q.new_ones(Q.shape[1]).double())
        found.append(Built(row["subspace"], basis=basis, **{name: row[name] for name in TOLD}))
    return found
