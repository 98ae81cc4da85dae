"""Small studies to draw, and what tests ask of any figure."""

import itertools
from dataclasses import dataclass
from functools import cached_property

import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from steerdose.figures.aggregate import aggregate_figure
from steerdose.figures.choice import EVERY
from steerdose.figures.kl_quantiles import even_edges, fork_quantiles, kl_quantiles, numbered, thinned_lines
from steerdose.figures.spaghetti import spaghetti_figure
from steerdose.figures.spaghetti_normalised import spaghetti_normalised_figure
from steerdose.outcomes.kl import normalised_kl
from steerdose.study.published import Panels
from steerdose.survival.kaplan_meier import estimate_survival

GRID = [0, 1, 2, 3, 5, 8, 13, 23, 38, 64, 128]
METHODS = [f"method_{i}" for i in range(12)]
ALPHAS = [-2.0, -1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0]


def key(method, alpha, prompt=0, model="m"):
    names = {"model": model, "behavior": "b", "seed": 0, "method": method, "alpha": alpha, "coefficient": alpha}
    return names | {"prompt_id": f"p{prompt}", "sample": 0}


def lived(methods, alphas, models=("m",)):
    """Lifetimes of 3 prompts a cohort: nobody dies up to alpha 1, one ends; above all die, one of them at 0."""
    rows = []
    for model, method, alpha, prompt in itertools.product(models, methods, alphas, range(3)):
        dead = abs(alpha) > 1
        duration = (0, 2, 38)[prompt] if dead else (128, 128, 20)[prompt]
        ended = not dead and prompt == 2
        life = {"duration": duration, "died": dead, "ended": ended, "recovered": False, "endpoint": "text"}
        rows.append(key(method, alpha, prompt, model) | life)
    return pl.DataFrame(rows)


def curve(methods, alphas, models=("m",)):
    """All methods and models share one estimate, since lifelines takes its time."""
    one = estimate_survival(lived(methods[:1], alphas), GRID)[0].with_columns(endpoint=pl.lit("text"))
    names = itertools.product(models, methods)
    return pl.concat([one.with_columns(model=pl.lit(model), method=pl.lit(method)) for model, method in names])


def tokens(methods, alphas, length=6):
    rows = []
    for method, alpha, prompt, t in itertools.product(methods, alphas, range(3), range(1, length + 1)):
        rows.append(key(method, alpha, prompt) | {"t": t, "token_id": 0, "kl": alpha**2 * (prompt + t) / 10})
    return pl.DataFrame(rows)


STEPS = [(1, 1, "search"), (2, 3, "search"), (3, 2, "search"), (1, 2, "calibration"), (1, 2, "audit")]


def calibration(methods):
    rows = []
    for (i, method), (sign, factor) in itertools.product(enumerate(methods), (("positive", 1.0), ("negative", -1.2))):
        names = {"model": "m", "behavior": "b", "seed": 0, "method": method, "sign": sign}
        for step, c, split in STEPS:
            point = {
                "coefficient": factor * c * 2 ** (i % 12),
                "split": split,
                "step": step,
                "p95": c**2 / 4 + (split == "audit"),
                "target": 1.0,
            }
            rows.append(names | point)
    return pl.DataFrame(rows)


def targets(methods, target=1.0):
    return calibration(methods).with_columns(target=pl.lit(target))


def spaghetti(tokens, lives, calibration, smoothing=0, fewest=3, panels=EVERY):
    rows, edges = numbered(tokens, lives), even_edges(tokens["t"].max(), 256)
    lines, medians = thinned_lines(rows, lives), kl_quantiles(rows, lives, edges)
    return spaghetti_figure(lines, medians, calibration, smoothing, fewest, panels)


def forks(lives, times=(0, 2, 8, 24)):
    """Steered readings fall with t, unsteered ones stay at 0.9."""
    probed = lives.drop("duration", "died", "ended").join(pl.DataFrame({"t": times}), how="cross")
    readings = pl.DataFrame({"probe": "first", "reading": ["steered", "unsteered"]})
    pmass = pl.when(pl.col("reading") == "steered").then(0.8 - pl.col("t") / 40).otherwise(0.9)
    return probed.join(readings, how="cross").with_columns(pmass=pmass)


def aggregate(tokens, lives, fewest=2, panels=EVERY):
    kl = kl_quantiles(numbered(tokens, lives), lives, [0, 2, 8, 24])
    pmass, thresholds = fork_quantiles(forks(lives), "first"), dict.fromkeys(lives["model"], 0.6)
    return aggregate_figure(kl, pmass, thresholds, fewest, panels)


def normalised(tokens, lives, smoothing=0, fewest=3, panels=EVERY):
    scaled = normalised_kl(numbered(tokens, lives), 20).drop_nulls("normalised")
    edges = even_edges(scaled["t"].max() or 1, 256)
    lines, medians = thinned_lines(scaled, lives, "normalised"), kl_quantiles(scaled, lives, edges, "normalised")
    return spaghetti_normalised_figure(lines, medians, smoothing, fewest, 20, panels)


PROMPTS = ["simple", "engineered"]
# Two entries of 60 members beside three methods that stand alone, and what figures are told of them.
MEMBERS = {name: tuple(f"{name}.{i}" for i in range(60)) for name in ("lora_layers", "oft_layers")}
ALONE = ["lora", "oft", "mean_diff"]
MANY = [*ALONE, *MEMBERS["lora_layers"], *MEMBERS["oft_layers"]]
MANY_PANELS = Panels(members={**{name: (name,) for name in ALONE}, **MEMBERS}, most=12)


def with_prompts(frame, prompts):
    """Append the rows of prompts; theirs with alpha 0 keep the coefficient 0."""
    if "alpha" in prompts.columns:
        coefficient = pl.when(pl.col("alpha") == 0).then(0.0)
        return pl.concat([frame, prompts.with_columns(coefficient=coefficient)])
    return pl.concat(
        [frame, prompts.with_columns(coefficient=pl.lit(None, pl.Float64), target=pl.lit(None, pl.Float64))]
    )


def training(methods):
    rows = []
    for method, sign, step in itertools.product(methods, ("positive", "negative"), range(1, 5)):
        names = {"model": "m", "behavior": "b", "seed": 0, "method": method, "sign": sign, "step": step}
        rows += [names | {"split": "train", "loss": 3 / step}, names | {"split": "heldout", "loss": 4 / step}]
    return pl.DataFrame(rows)


def render(figure):
    FigureCanvasAgg(figure).draw()
    return figure.canvas.get_renderer()


def panel(figure, title):
    """The axes whose title's last line is `title`."""
    return next(axes for axes in figure.axes if axes.get_title(loc="left").split("\n")[-1] == title)


def drawn_lines(figure, axes):
    """The collections of lines of a panel: below the median, which belong to the figure, and above it."""
    behind = [lines for lines in figure.artists if lines.get_transform() is axes.transData]
    return [*behind, *axes.collections]


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def overlaps(boxes):
    return [(a, b) for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]


def assert_legend_is_beside(figure, renderer):
    legend = figure.legends[0].get_window_extent(renderer)
    assert not [axes for axes in figure.axes if axes.get_tightbbox(renderer).overlaps(legend)]
    assert figure.bbox.x0 <= legend.x0 and legend.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= legend.y0 and legend.y1 <= figure.bbox.y1


def texts(figure, renderer):
    """The boxes of all texts that are seen."""
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible() and artist.get_text())
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low <= tick.get_loc() <= high:
                found = [text for text in found if text not in (tick.label1, tick.label2)]
    return [line for text in found for line in lines_of(text, renderer)]


def lines_of(text, renderer):
    """Yield each line of a text and its box: a long heading may stand above a neighbour's shorter title."""
    box, parts = text.get_window_extent(renderer), text.get_text().split("\n")
    if text.get_rotation() or text.get_horizontalalignment() != "left":
        yield text.get_text(), box
        return
    for i, part in enumerate(parts):
        width = renderer.get_text_width_height_descent(part, text.get_fontproperties(), False)[0]
        top = box.y1 - i * box.height / len(parts)
        yield part, Bbox([[box.x0, top - box.height / len(parts) + 1], [box.x0 + width, top - 1]])


def each_model(frame, models):
    return pl.concat([frame.with_columns(model=pl.lit(model)) for model in models])


SIGNS = [-1.0, 0.0, 1.0]  # the alphas of prompts


@dataclass(frozen=True)
class Study:
    """One study as its figures see it."""

    methods: list
    alphas: list
    models: tuple = ("m",)
    prompts: tuple = ()
    panels: Panels = EVERY

    def _both(self, make):
        frame = make(self.methods, self.alphas)
        return with_prompts(frame, make(list(self.prompts), SIGNS)) if self.prompts else frame

    @cached_property
    def curves(self):
        return self._both(lambda methods, alphas: curve(methods, alphas, self.models))

    @cached_property
    def lives(self):
        return self._both(lambda methods, alphas: lived(methods, alphas, self.models))

    @cached_property
    def steps(self):
        return self._both(lambda methods, alphas: each_model(tokens(methods, alphas, length=24), self.models))

    @cached_property
    def calibrations(self):
        found = each_model(calibration(self.methods), self.models)
        if not self.prompts:
            return found
        return with_prompts(found, each_model(calibration(self.prompts).filter(pl.col("step") == 3), self.models))

    @cached_property
    def training(self):
        return each_model(training(self.methods), self.models)


STUDIES = {
    "one": Study(["lora"], [1.0]),
    "twelve": Study(METHODS, ALPHAS),
    "cells_and_prompts": Study(["lora", "mean"], [-1.0, 0.0, 1.0, 2.0], ("one", "two"), ("simple", "long")),
    "two_entries_of_sixty": Study(MANY, [-1.0, 0.0, 1.0, 2.0], ("m",), ("simple", "long"), MANY_PANELS),
}


def assert_legible(figure):
    """No text lies on another or outside, and of many members it is said how many are shown."""
    seen = texts(figure, render(figure))
    assert len(seen) > 5
    for (a, box), (b, other) in itertools.combinations(seen, 2):
        assert not box.overlaps(other), (a, b)
    for text, box in seen:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text
    words = " ".join(text for text, _ in seen)
    assert ("Shown: 4 of 60" in words) == ("lora_layers.0" in words)
