"""What every part retains, with its interval: a line a part, a panel a method."""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from steerdose.declarations.ablations import ABLATIONS
from steerdose.figures.part_styles import PLACE, heading, kind_of, name_of, nothing, shown
from steerdose.figures.style import Style, drawing, save
from steerdose.files import read_table

LIMITS = (-0.5, 1.8)
AT: dict[str, Style] = {
    "coefficient": {"marker": "o", "color": "#0072B2", "markerfacecolor": "#0072B2"},
    "kl": {"marker": "o", "color": "#D55E00", "markerfacecolor": "white"},
}
LABELS = {"coefficient": "at the whole's coefficient", "kl": "at the whole's KL"}


def plot_parts(*, ablations: str, png: str, svg: str) -> None:
    """Draw `parts_figure`."""
    save(parts_figure(read_table(ablations, ABLATIONS)), png, svg)


@drawing()
def parts_figure(ablations: pl.DataFrame) -> Figure:
    """Draw parts alone, but for single layers, which have a map; grey: the range of random deltas at the same norms."""
    rows = shown(ablations).filter(pl.col("way") != "layer", side="keep").with_columns(kind_of(), name_of())
    cells = rows.partition_by(PLACE, maintain_order=True)
    ways = rows.drop_nulls("kind").group_by("way", maintain_order=True).agg(pl.col("name").unique(maintain_order=True))
    names = ways["name"].explode().to_list()  # of one way together, also what another method alone has
    if not names:
        return nothing("no delta with an effect was taken apart")
    single = rows.select("model", "behavior").n_unique() == 1
    figure = Figure((max(6.0, 2.4 + 1.55 * len(cells)), 1.2 + 0.17 * len(names)), layout="constrained")
    axes = figure.subplots(1, len(cells), squeeze=False, sharey=True, sharex=True)[0]
    for each, cell in zip(axes, cells, strict=True):
        title = heading(cell.row(0, named=True), single)
        each.set_title(title if single else title.replace(", ", "\n"))
        _draw(each, cell, names)
    axes[0].set_yticks(range(len(names)), names, fontsize=7)
    axes[0].set_ylim(len(names) - 0.3, -0.7)
    figure.supxlabel("retained by the part alone")
    legend = [Line2D([], [], label=LABELS[at], markersize=4, linewidth=1, **look) for at, look in AT.items()]
    figure.legend(handles=[*legend, Patch(facecolor="0.85", label="random deltas")], loc="outside upper left", ncols=3)
    return figure


def _draw(axes: Axes, cell: pl.DataFrame, names: list[str]) -> None:
    copies = cell.filter(way="random", at="coefficient")["retained"]
    if len(copies):
        axes.axvspan(copies.min(), copies.max(), color="0.85", lw=0, zorder=0)  # type: ignore[arg-type]
    for place in (0, 1):
        axes.axvline(place, color="0.75", linewidth=0.8, zorder=0)
    for at, shift in (("coefficient", -0.16), ("kl", 0.16)):
        for name, *values in (
            cell.filter(at=at)
            .drop_nulls("kind")
            .select("name", "retained", "retained_low", "retained_high")
            .iter_rows()
        ):
            y = names.index(name) + shift
            middle, low, high = (min(max(value, LIMITS[0]), LIMITS[1]) for value in values)
            axes.plot([low, high], [y, y], color=AT[at]["color"], linewidth=0.9)
            axes.plot(middle, y, markersize=3.2, markeredgewidth=0.8, **AT[at])
    axes.set_xlim(*LIMITS)
