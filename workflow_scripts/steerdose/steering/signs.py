"""The two signs of a dose, and the coefficient that a dose stands for. Imports no torch."""

from collections.abc import Mapping
from typing import Any

SIGNS = {"positive": 1.0, "negative": -1.0}  # each has a dose of its own


def sign_of(alpha: float) -> str:
    """Return the key of `SIGNS` that a dose, or a coefficient, belongs to; 0 counts as positive."""
    return "negative" if alpha < 0 else "positive"


def coefficient_of(alpha: float, calibration: Mapping[str, Any]) -> float:
    """Return alpha times the c_star of its sign. calibration: what calibration/{method}.json holds."""
    return float(alpha * calibration[sign_of(alpha)]["c_star"])
