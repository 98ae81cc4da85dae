"""Does the screen predict what parts do to the texts that the model writes?"""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.stats import spearmanr

from steerdose.declarations.ablations import ABLATIONS
from steerdose.declarations.benefit import EFFECTS
from steerdose.figures.part_styles import name_of, nothing
from steerdose.figures.style import drawing, place_names, save, title_of
from steerdose.files import read_table
from steerdose.study.published import PlotScreening

KEYS = ("model", "behavior", "seed")


def plot_screening(*, ablations: str, effects: str, settings: PlotScreening, png: str, svg: str) -> None:
    """Draw `screening_figure`."""
    points = confirmed(read_table(ablations, ABLATIONS), read_table(effects, EFFECTS), settings)
    save(screening_figure(points), png, svg)


def confirmed(ablations: pl.DataFrame, effects: pl.DataFrame, settings: PlotScreening) -> pl.DataFrame:
    """Return a row a part that is a method of the study too: its effect in the screen and at its own dose 1."""
    places = pl.DataFrame(
        [(name, *place) for name, place in settings.parts.items()],
        schema=dict.fromkeys(("name", "method", "way", "part", "side"), pl.String), orient="row",
    )  # fmt: skip
    screened = ablations.filter(at="kl").join(places, on=["method", "way", "part", "side"], how="inner")
    found = []
    for behavior, (task, measure) in settings.effects.items():
        own = effects.filter(behavior=behavior, task=task, measure=measure, alpha=1.0)
        own = own.select(*KEYS, pl.col("method").alias("name"), *(
            pl.col(f"effect{end}").alias(f"written{end}") for end in ("", "_low", "_high")
        ))  # fmt: skip
        found.append(screened.join(own, on=[*KEYS, "name"], how="inner", maintain_order="left"))
    return pl.concat(found) if found else screened.clear()


@drawing()
def screening_figure(points: pl.DataFrame) -> Figure:
    """Draw a panel a method and cell; the title has the rank correlation."""
    cells = points.partition_by(*KEYS, "method", maintain_order=True) if "written" in points.columns else []
    if not cells:
        return nothing("no part that was screened is a method of the study")
    figure = Figure((0.8 + 4.4 * len(cells), 4.0), layout="constrained")
    axes = figure.subplots(1, len(cells), squeeze=False)[0]
    figure.supxlabel("effect on fixed texts, at the whole's KL (nats)")
    figure.supylabel("effect on written texts, at dose 1")
    names = [_draw(each, cell) for each, cell in zip(axes, cells, strict=True)]
    place_names(figure, dict(zip(axes, names, strict=True)))
    return figure


def _draw(axes: Axes, cell: pl.DataFrame) -> list[Text]:
    """Draw a panel and return the names of its points, which stand where the points do."""
    for line in (axes.axhline, axes.axvline):
        line(0, color="0.8", linewidth=0.8, zorder=0)
    x, y = cell["effect"], cell["written"]
    axes.errorbar(
        x, y, fmt="o", markersize=4, color="#0072B2", ecolor="0.75", elinewidth=0.7,
        xerr=[x - cell["effect_low"], cell["effect_high"] - x],
        yerr=[y - cell["written_low"], cell["written_high"] - y],
    )  # fmt: skip
    told = f"{len(x)} part{'s' * (len(x) > 1)}"
    if len(x) > 2:
        found = spearmanr(x, y)
        told += f", rank correlation {found.statistic:.2f} (p {found.pvalue:.2g})"
    axes.set_title(f"{title_of('method', cell['method'][0])}: {told}")
    places = cell.select(name_of(), "effect", "written").iter_rows()
    return [axes.text(place_x, place_y, name, fontsize=7) for name, place_x, place_y in places]
