"""How fast a batch of rows runs on a machine: what is measured there, and what a plan reckons with."""

from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Pace:
    """Seconds of a step of a batch that decodes, of each of its rows in it, and of a token that is read."""

    step: float
    row: float
    read: float

    def towards(self, other: "Pace", share: float) -> "Pace":
        """Return the pace that lies at a share of the way to another one."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Pace(*(own + share * (theirs - own) for own, theirs in pairs))
