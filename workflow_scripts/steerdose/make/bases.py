"""Residual directions that several adapter families write, as bases that their deltas are projected on.

Per layer every family's writers (o, down) stand side by side, M_f (width, inputs), scaled to norm 1, so that none is
heard for being loud; a basis is the leading left singular vectors of some of the M_f.
"""

from collections.abc import Iterator, Mapping

import polars as pl
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from steerdose.columns import Cell
from steerdose.cuts.whole import led, unit, whole_of
from steerdose.declarations.ablations import ANGLES
from steerdose.errors import SteerdoseError
from steerdose.files import replacing, write_table
from steerdose.seeds import seed_from
from steerdose.steering.steering import Steering
from steerdose.study.settings import ShareBases


def share_bases(*, steerings: list[str], cell: Cell, settings: ShareBases, bases: str, angles: str) -> None:
    """Write the bases of every layer, {kind}.{layer}: (width, columns) orthonormal, and the angles between families.

    Kinds: shared, of all families; without.{method}, of all others; top.{method} and tail.{method}, its own first and
    last directions; random. Raises SteerdoseError where no family writes to the residual stream.
    """
    wholes = {name: whole_of(Steering.load(path)) for name, path in zip(settings.methods, steerings, strict=True)}
    written = {name: whole.written for name, whole in wholes.items()}
    if not any(written.values()):
        raise SteerdoseError(f"none of {list(written)} changes a module that writes to the residual stream")
    layers = sorted({layer for each in written.values() for layer in each})
    found = {
        f"{kind}.{layer}": basis[:, : settings.columns].float().contiguous()
        for layer in layers
        for kind, basis in _bases({name: each[layer] for name, each in written.items() if layer in each}, layer, cell)
    }
    with replacing(bases) as temporary:
        save_file(found, temporary)
    rows = [row for layer in layers for row in _angles(layer, written, settings.widths)]
    table = pl.DataFrame(rows, schema=[each.name for each in ANGLES.columns[3:]], orient="row")
    write_table(table.with_columns(cell.columns()).select(each.name for each in ANGLES.columns), angles, ANGLES)


def load_bases(path: str) -> dict[str, Tensor]:
    """Return what `share_bases` wrote."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _bases(written: Mapping[str, Tensor], layer: int, cell: Cell) -> Iterator[tuple[str, Tensor]]:
    yield "shared", unit(led(torch.cat(list(written.values()), 1)))
    width = next(iter(written.values())).shape[0]
    generator = torch.Generator().manual_seed(seed_from("basis", *cell.parts, layer))
    yield "random", torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64)).Q
    for name, own in written.items():
        rest = [each for other, each in written.items() if other != name]
        if rest:
            yield f"without.{name}", unit(led(torch.cat(rest, 1)))
        yield f"top.{name}", unit(own)
        yield f"tail.{name}", unit(own).flip(1)


def _angles(
    layer: int, written: Mapping[str, Mapping[int, Tensor]], widths: tuple[int, ...]
) -> Iterator[tuple[int, str, str, int, float, float, float, float]]:
    there = {name: unit(each[layer]) for name, each in written.items() if layer in each}
    for one, Q in there.items():
        for other, R in there.items():
            for k in widths:
                if k <= min(Q.shape[1], R.shape[1]) and k < Q.shape[0]:
                    cosines = torch.linalg.svdvals(Q[:, :k].T @ R[:, :k]).clamp(0, 1)
                    degrees = torch.rad2deg(cosines.acos())
                    overlap = float(cosines.square().mean())
                    yield layer, one, other, k, overlap, k / Q.shape[0], float(degrees.min()), float(degrees.max())
