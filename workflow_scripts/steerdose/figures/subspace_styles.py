"""What figures of subspaces share: how hypotheses look, what targets are called, and an axis of recovery."""

from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, NullFormatter

from steerdose.figures.style import Style

LOOKS: dict[str, Style] = {
    "write": {"marker": "o", "color": "#0072B2"},
    "mixed": {"marker": "^", "color": "#D55E00"},
    "read": {"marker": "s", "color": "#009E73"},
}
TARGETS = {"stream": "the change of the stream", "written": "what the weights write"}


def plain(axis: Axis) -> None:
    """Write the ticks of a logarithmic axis as numbers."""
    axis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_formatter=NullFormatter())
