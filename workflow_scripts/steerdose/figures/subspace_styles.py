"""What figures of subspaces share: how hypotheses look, what targets are called, and an axis of recovery."""

from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from steerdose.figures.style import Style

LOOKS: dict[str, Style] = {
    "write": {"marker": "o", "color": "#0072B2"},
    "mixed": {"marker": "^", "color": "#D55E00"},
    "read": {"marker": "s", "color": "#009E73"},
}
NARROW = 4  # times: a logarithmic axis that spans less has more ticks
TARGETS = {"stream": "the change of the stream", "written": "what the weights write"}


def kind_handles() -> list[Line2D]:
    """Return the legend of `LOOKS`."""
    return [Line2D([], [], linestyle="", label=kind, **look) for kind, look in LOOKS.items()]


def plain(axis: Axis) -> None:
    """Write the ticks of a logarithmic axis, whose data are there, as numbers."""
    low, high = axis.get_view_interval()
    ticks = LogLocator(subs=(1, 2, 5) if high / low > NARROW else (1, 1.2, 1.5, 2, 3, 5, 7))
    axis.set(major_locator=ticks, major_formatter="{x:g}", minor_formatter=NullFormatter())
