"""A dose for machines, dose.json: what a server has to do to the model, and all that was measured of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steerdose.columns import SIGNS, Cell, sign_of
from steerdose.declarations.benefit import RECOMMENDED
from steerdose.files import read_table, sha256_of
from steerdose.flow.provenance import steerdose_version, versions
from steerdose.steering.edit import Edit
from steerdose.steering.steering import Steering

FORMAT = "steerdose.dose/1"
CALIBRATED = ("statistic", "target", "tolerance", "negative_is_opposite")  # of calibration.json
FOUND = ("c_star", "c_star_low", "c_star_high", "evaluated", "converged", "reason", "audit")  # of its entry of a sign


@dataclass(frozen=True)
class Dose:
    """One dose of one method. found: calibration/{method}.json; vector: the steering at coefficient 1."""

    cell: Cell
    alpha: float
    coefficient: float
    found: dict[str, Any]
    vector: Steering
    source: dict[str, Any]

    @property
    def sign(self) -> str:
        return sign_of(self.alpha)

    @property
    def calibrated(self) -> str:
        """The alpha that was calibrated."""
        return f"{SIGNS[self.sign]:g}"


def recommended(dose: Dose, tables: list[str]) -> dict[str, Any] | None:
    """Return the row of the table of doses on this method and sign. tables: that table, if the study has the method."""
    own = dict(zip(dose.cell.names, dose.cell.parts, strict=True))
    rows = [row for path in tables for row in read_table(path, RECOMMENDED).filter(sign=dose.sign, **own).to_dicts()]
    return next(({k: v for k, v in row.items() if k not in own} for row in rows), None)


def record(dose: Dose, steering: str, blocks: list[str], judged: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what dose.json holds. steering: its file. blocks: the model's, first to last. judged: of `recommended`.

    Every edit changes the output y of its module, at the steered positions, as its formula says; x is the module's
    input and c the coefficient. Relative norms are those at the calibrated dose, behind each block.
    """
    sign = dose.found[dose.sign]
    edits = [_edit(path, edit, blocks) for path, edit in dose.vector.edits]
    if judged and (safe := judged["safe_dose"]) is not None:
        judged = {**judged, "safe_coefficient": SIGNS[dose.sign] * safe * sign["c_star"]}
    return {
        **{"format": FORMAT, "steerdose": steerdose_version(), "versions": versions()},
        **dict(zip(dose.cell.names, dose.cell.parts, strict=True)),
        "source": {name: dose.source[name] for name in ("source", "revision", "sha256")},
        **{"alpha": dose.alpha, "coefficient": dose.coefficient, "positions": dose.found["positions"]},
        "steering": {"file": steering, "sha256": sha256_of(Path(steering))},
        "layers": sorted({edit["layer"] for edit in edits if edit["layer"] is not None}),
        "edits": edits,
        "calibration": {name: dose.found[name] for name in CALIBRATED} | {name: sign[name] for name in FOUND},
        "relative_norm_by_layer": sign["relative_dose_by_block"],
        "recommendation": judged,
    }


def _edit(path: str, edit: Edit, blocks: list[str]) -> dict[str, Any]:
    layer = next((i for i, block in enumerate(blocks) if f"{path}.".startswith(f"{block}.")), None)
    formula = str(type(edit).__doc__).splitlines()[0].rstrip(".")
    return {"module": path, "layer": layer, "edit": type(edit).__name__, "formula": formula, "norm": edit.norm()}
