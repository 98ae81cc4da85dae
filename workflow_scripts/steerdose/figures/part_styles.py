"""What figures of a delta's parts share: which rows are shown, how parts look and what they are called."""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from steerdose.figures.style import Style, title_of

PLACE = ("model", "behavior", "method")
WHERE, SPECTRUM, SUBSPACE, FORM = ("where it lies", "its spectrum", "a subspace", "a parameterisation")
KINDS = {
    **dict.fromkeys(("layer", "module", "third", "role"), WHERE),
    **dict.fromkeys(("rank", "quartile", "energy"), SPECTRUM),
    **dict.fromkeys(("base", "shared", "others", "top", "tail"), SUBSPACE),
    "form": FORM,
    "random_basis": "a random subspace",
}
LOOKS: dict[str, Style] = {
    WHERE: {"marker": "o", "color": "#0072B2"},
    SPECTRUM: {"marker": "s", "color": "#D55E00"},
    SUBSPACE: {"marker": "^", "color": "#009E73"},
    FORM: {"marker": "D", "color": "#000000"},
    "a random subspace": {"marker": "x", "color": "0.45"},
}
LEGEND = 2.9  # inches, for the legend at the right and the labels at the left
POINT: Style = {"linestyle": "", "markersize": 5, "markeredgewidth": 0.8, "alpha": 0.85}


def shown(ablations: pl.DataFrame) -> pl.DataFrame:
    """Return of every method the rows over all seeds, or of its one seed, where the whole has an effect."""
    most = ablations.filter(pl.col("seeds") == pl.col("seeds").max().over(PLACE))
    return most.filter(pl.col("retained").is_not_null())


def kind_of() -> pl.Expr:
    """The kind of a row's part; null of controls and of the whole."""
    return pl.col("way").replace_strict(KINDS, default=None, return_dtype=pl.String).alias("kind")


def name_of() -> pl.Expr:
    """What a row's part is called."""
    words = {"layer": "layer ", "third": "", "module": "", "role": "", "form": "", "quartile": "quartile "}
    words |= {"rank": "rank ", "energy": "energy % ", "base": "base weight ", "random_basis": "random "}
    return pl.concat_str(pl.col("way").replace(words | {w: f"{w} " for w in KINDS if w not in words}), "part").alias(
        "name"
    )


def panels(count: int, width: float, height: float, rows: int = 1, most: int = 4) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with `rows` axes above each other for each of `count` panels, `most` beside each other.

    The list is by panel; axes that have no panel are taken away.
    """
    lines = -(-count // most)
    columns = -(-count // lines)
    size = (LEGEND + max(width * columns, 3.2), 1.0 + height * rows * lines)
    figure = Figure(size, layout="constrained")
    axes = figure.subplots(rows * lines, columns, squeeze=False, sharex=True, sharey=True)
    grid = [[axes[rows * (i // columns) + row][i % columns] for row in range(rows)] for i in range(lines * columns)]
    for i, unused in enumerate(grid[count:], start=count):
        for each in unused:
            each.remove()
        grid[i - columns][-1].tick_params(labelbottom=True)
    return figure, grid[:count]


def heading(row: dict[str, object], single: bool) -> str:
    """Return a panel's title; with `single` the method alone, since all panels are of one model and behavior."""
    return str(row["method"]) if single else ", ".join(title_of(name, str(row[name])) for name in PLACE)


def handles() -> list[Line2D]:
    """Return the legend of `LOOKS`."""
    return [Line2D([], [], label=kind, **POINT | look) for kind, look in LOOKS.items()]


def nothing(text: str) -> Figure:
    """Return a figure that says why it is empty."""
    figure = Figure((6, 1.2), layout="constrained")
    figure.subplots().set(title=text, xticks=[], yticks=[])
    return figure
