import itertools

import matplotlib
import numpy as np
import polars as pl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from steerdose.aggregate_figure import aggregate_figure
from steerdose.calibration_figure import calibration_figure
from steerdose.figures import ALIVE, DEAD, save
from steerdose.kl_fan_figure import FEW_LEFT, kl_fan_figure
from steerdose.kl_history import normalised_kl
from steerdose.kl_quantiles import even_edges, fork_quantiles, kl_quantiles, thinned_lines
from steerdose.spaghetti_figure import spaghetti_figure
from steerdose.spaghetti_normalised_figure import spaghetti_normalised_figure
from steerdose.survival import kaplan_meier
from steerdose.survival_by_dose_figure import survival_by_dose_figure
from steerdose.survival_figure import survival_figure
from steerdose.training_figure import training_figure

pytestmark = pytest.mark.filterwarnings("error")  # constrained layout warns when it gives up
GRID = [0, 1, 2, 3, 5, 8, 13, 23, 38, 64, 128]
METHODS = [f"method_{i}" for i in range(12)]
ALPHAS = [-2.0, -1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0]


def key(method, alpha, prompt=0, model="m"):
    names = {"model": model, "behavior": "b", "seed": 0, "method": method, "alpha": alpha, "coefficient": alpha}
    return names | {"prompt_id": f"p{prompt}"}


def lived(methods, alphas, models=("m",)):
    """Lifetimes of 3 prompts a cohort: nobody dies up to alpha 1, one ends; above all die, one of them at 0."""
    rows = []
    for model, method, alpha, prompt in itertools.product(models, methods, alphas, range(3)):
        dead = abs(alpha) > 1
        duration = (0, 2, 38)[prompt] if dead else (128, 128, 20)[prompt]
        ended = not dead and prompt == 2
        rows.append(key(method, alpha, prompt, model) | {"duration": duration, "died": dead, "ended": ended})
    return pl.DataFrame(rows)


def curve(methods, alphas, models=("m",)):
    """All methods and models share one estimate, since lifelines takes its time."""
    one = kaplan_meier(lived(methods[:1], alphas), GRID)[0]
    names = itertools.product(models, methods)
    return pl.concat([one.with_columns(model=pl.lit(model), method=pl.lit(method)) for model, method in names])


def tokens(methods, alphas, length=6):
    rows = []
    for method, alpha, prompt, t in itertools.product(methods, alphas, range(3), range(1, length + 1)):
        rows.append(key(method, alpha, prompt) | {"t": t, "token_id": 0, "kl": alpha**2 * (prompt + t) / 10})
    return pl.DataFrame(rows)


def calibration(methods):
    rows = []
    for (i, method), (sign, factor) in itertools.product(enumerate(methods), (("positive", 1.0), ("negative", -1.2))):
        names = {"model": "m", "behavior": "b", "seed": 0, "method": method, "sign": sign}
        for step, c, split in [(1, 1, "calibration"), (2, 3, "calibration"), (3, 2, "calibration"), (3, 2, "audit")]:
            point = {
                "coefficient": factor * c * 2**i,
                "split": split,
                "step": step,
                "p95": c**2 / 4 + (split == "audit"),
                "target": 1.0,
            }
            rows.append(names | point)
    return pl.DataFrame(rows)


def targets(methods, target=1.0):
    return calibration(methods).with_columns(target=pl.lit(target))


def spaghetti(tokens, lives, calibration, smoothing=0, fewest=3):
    lines, medians = thinned_lines(tokens, lives), kl_quantiles(tokens, lives, even_edges(tokens["t"].max(), 256))
    return spaghetti_figure(lines, medians, calibration, smoothing, fewest)


def forks(lives, times=(0, 2, 8, 24)):
    """Steered readings fall with t, unsteered ones stay at 0.9."""
    probed = lives.drop("duration", "died", "ended").join(pl.DataFrame({"t": times}), how="cross")
    readings = pl.DataFrame({"probe": "first", "reading": ["steered", "unsteered"]})
    pmass = pl.when(pl.col("reading") == "steered").then(0.8 - pl.col("t") / 40).otherwise(0.9)
    return probed.join(readings, how="cross").with_columns(pmass=pmass)


def aggregate(tokens, lives, fewest=2):
    kl = kl_quantiles(tokens, lives, [0, 2, 8, 24])
    return aggregate_figure(kl, fork_quantiles(forks(lives), "first"), dict.fromkeys(lives["model"], 0.6), fewest)


def normalised(tokens, lives, smoothing=0, fewest=3):
    scaled = normalised_kl(tokens, 20).drop_nulls("normalised")
    edges = even_edges(scaled["t"].max() or 1, 256)
    lines, medians = thinned_lines(scaled, lives, "normalised"), kl_quantiles(scaled, lives, edges, "normalised")
    return spaghetti_normalised_figure(lines, medians, smoothing, fewest, 20)


PROMPTS = ["simple", "engineered"]


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


def every_figure(methods, alphas, models=("m",), prompts=()):
    """Yield the name and figure of all that this module tests, on the same study."""
    signs = [-1.0, 0.0, 1.0]
    curves = curve(methods, alphas, models)
    calibrations = each_model(calibration(methods), models)
    lives, steps = lived(methods, alphas, models), each_model(tokens(methods, alphas, length=24), models)
    if prompts:
        curves = with_prompts(curves, curve(prompts, signs, models))
        calibrations = with_prompts(calibrations, each_model(calibration(prompts).filter(pl.col("step") == 3), models))
        lives = with_prompts(lives, lived(prompts, signs, models))
        steps = with_prompts(steps, each_model(tokens(prompts, signs, length=24), models))
    yield "survival", survival_figure(curves)
    yield "survival_by_dose", survival_by_dose_figure(curves)
    yield "calibration", calibration_figure(calibrations, 0.05, "p95")
    yield "training", training_figure(each_model(training(methods), models))
    yield "spaghetti", spaghetti(steps, lives, calibrations, smoothing=5)
    yield "spaghetti_normalised", normalised(steps, lives)
    yield "aggregate", aggregate(steps, lives)
    yield "kl_fan", kl_fan_figure(kl_quantiles(steps, lives, even_edges(24, 8)), 2)


def each_model(frame, models):
    return pl.concat([frame.with_columns(model=pl.lit(model)) for model in models])


@pytest.mark.parametrize(
    "study",
    [
        {"methods": ["lora"], "alphas": [1.0]},
        {"methods": METHODS, "alphas": ALPHAS},
        {
            "methods": ["lora", "mean"],
            "alphas": [-1.0, 0.0, 1.0, 2.0],
            "models": ["one", "two"],
            "prompts": ["simple", "long"],
        },
    ],
    ids=["one", "twelve", "cells and prompts"],
)
def test_no_text_lies_on_another_or_outside(study):
    for name, figure in every_figure(**study):
        seen = texts(figure, render(figure))
        assert len(seen) > 5, name
        for (a, box), (b, other) in itertools.combinations(seen, 2):
            assert not box.overlaps(other), (name, a, b)
        for text, box in seen:
            assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, (name, text)


@pytest.mark.parametrize(("methods", "alphas"), [(["lora"], [0.0]), (["lora"], [1.0]), (METHODS, ALPHAS)])
def test_survival_figure_has_a_panel_a_method_and_nothing_overlaps(methods, alphas):
    three_digits = pl.col("at_risk") * 300
    figure = survival_figure(curve(methods, alphas).with_columns(three_digits))
    renderer = render(figure)
    assert len(figure.axes) == 2 * len(methods)
    assert len(legend_texts(figure)) == len(alphas) + 1
    assert_legend_is_beside(figure, renderer)
    assert not overlaps([axes.get_tightbbox(renderer) for axes in figure.axes])
    tables = [axes for axes in figure.axes if axes.texts]
    assert len(tables) == len(methods)
    for axes in tables:
        numbers = [text.get_window_extent(renderer) for text in axes.texts]
        assert len(numbers) >= 2 * len(alphas)
        labels = [label.get_window_extent(renderer) for label in axes.get_yticklabels() if label.get_visible()]
        assert not overlaps(numbers + labels)


def test_survival_curves_keep_their_values_and_their_own_marker_places():
    figure = survival_figure(curve(["lora"], [0.0, 0.5, 1.0, 3.0]))
    axes = panel(figure, "lora")
    steps = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert [line.get_ydata().tolist() for line in steps[:3]] == [[1.0] * 12] * 3
    assert steps[3].get_ydata() == pytest.approx([1, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 3, 0, 0, 0])
    places = [line.get_xdata().tolist() for line in axes.lines if line.get_drawstyle() != "steps-post"][:3]
    assert len({x for xs in places for x in xs}) == sum(len(xs) for xs in places) == 6
    assert axes.get_xlim() == (0, 128)
    assert axes.get_ylim() == (0, 1)


def test_survival_curve_stops_where_nobody_is_left():
    observed = lived(["lora"], [1.0]).with_columns(duration=pl.lit(20), ended=pl.lit(True))
    axes = panel(survival_figure(kaplan_meier(observed, GRID)[0]), "lora")
    assert axes.lines[0].get_xdata().tolist() == [0, *GRID[:7]]


def test_survival_doses_get_darker_and_signs_differ():
    figure = survival_figure(curve(["lora"], ALPHAS))
    lines = dict(zip(legend_texts(figure), figure.legends[0].get_lines(), strict=False))
    luminance = [np.dot(matplotlib.colors.to_rgb(lines[f"{a:g}"].get_color()), (0.3, 0.59, 0.11)) for a in ALPHAS[4:]]
    assert luminance == sorted(luminance, reverse=True)
    assert len({lines[f"{a:g}"].get_marker() for a in ALPHAS[4:]}) == len(ALPHAS[4:])
    assert lines["-1"].get_linestyle() != lines["1"].get_linestyle()
    assert (lines["0 (unsteered)"].get_color(), lines["0 (unsteered)"].get_linestyle()) == ("black", "--")


def test_numbers_at_risk_stand_below_their_fork():
    figure = survival_figure(curve(["lora"], [0.0, 3.0]))
    ticks = panel(figure, "lora").get_xticks().tolist()
    assert ticks[0] == 0 and ticks[-1] == 128
    expected = curve(["lora"], [0.0, 3.0]).filter(pl.col("t").is_in([int(tick) for tick in ticks]))
    shown = [(text.get_position(), text.get_text()) for text in figure.axes[1].texts]
    rows = expected.select("t", pl.col("alpha") > 0, "at_risk").rows()
    assert shown == [((t, int(row)), str(at_risk)) for t, row, at_risk in rows]


def test_cells_have_their_own_titled_rows():
    both = pl.concat([curve(["lora", "mean"], [0.0, 1.0], ["one"]), curve(["lora"], [0.0, 1.0], ["two"])])
    figure = survival_figure(both)
    assert_legend_is_beside(figure, render(figure))
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_xlabel()]
    assert titles == ["one, b, seed 0\nlora", "mean", "two, b, seed 0\nlora"]


@pytest.mark.parametrize(("methods", "alphas"), [(["lora"], [0.0]), (METHODS, ALPHAS)])
def test_spaghetti_figure_has_a_panel_a_dose(methods, alphas):
    figure = spaghetti(tokens(methods, alphas), lived(methods, alphas), targets(methods))
    assert len(figure.axes) == len(methods) * len(alphas)
    if len(methods) == 1:
        assert_legend_is_beside(figure, render(figure))


def test_spaghetti_colours_trajectories_by_life():
    figure = spaghetti(tokens(["lora"], [0.0, 2.0]), lived(["lora"], [0.0, 2.0]), targets(["lora"]))
    drawn = {(alpha, color): seen(figure, alpha, color) for alpha in (0, 2) for color in (ALIVE, DEAD)}
    everything = list(range(1, 7))
    assert drawn[0, ALIVE] == [everything] * 3 and drawn[0, DEAD] == []
    assert drawn[2, ALIVE] == [[1, 2], everything]
    assert drawn[2, DEAD] == [everything, [2, 3, 4, 5, 6]]


def seen(figure, alpha, color):
    """The places t of each line of a colour."""
    pairs = [
        (part[:, 0].tolist(), to_hex(own).upper())
        for lines in panel(figure, f"alpha {alpha}").collections
        for part, own in zip(lines.get_segments(), lines.get_color(), strict=True)
        if len(part)
    ]
    return [t for t, own in pairs if own == color]


def test_spaghetti_draws_median_target_and_ends():
    figure = spaghetti(tokens(["lora"], [1.0]), lived(["lora"], [1.0]), targets(["lora"], 0.7))
    end, target, median = panel(figure, "alpha 1").lines
    assert median.get_ydata() == pytest.approx([(1 + t) / 10 for t in range(1, 7)])
    assert (end.get_marker(), end.get_xdata().tolist(), end.get_ydata().tolist()) == ("|", [6], [pytest.approx(0.8)])
    assert list(target.get_ydata()) == [0.7, 0.7]
    assert "target, 0.7 nats" in legend_texts(figure)


def test_spaghetti_of_unsteered_rollouts_shows_zero_and_target():
    axes = panel(spaghetti(tokens(["lora"], [0.0]), lived(["lora"], [0.0]), targets(["lora"])), "alpha 0")
    bottom, top = axes.get_ylim()
    assert bottom == 0 and top > 1
    assert set(axes.lines[0].get_ydata()) == {0.0}


@pytest.mark.parametrize("methods", [["lora"], METHODS])
def test_calibration_figure_runs_with_its_legend_beside(methods):
    figure = calibration_figure(calibration(methods), 0.05, "p95")
    assert_legend_is_beside(figure, render(figure))
    assert legend_texts(figure)[: len(methods)] == methods
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.legends[0].get_lines()[: len(methods)]}
    assert len(looks) == len(methods)


def test_calibration_path_is_in_coefficient_order():
    axes = panel(calibration_figure(calibration(["lora"]), 0.05, "p95"), "seed 0")
    paths = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert [path.get_xdata().tolist() for path in paths] == [[1, 2, 3], pytest.approx([1.2, 2.4, 3.6])]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    band = axes.patches[0]
    assert (band.get_y(), band.get_height()) == pytest.approx((0.95, 0.1))


def test_calibration_results_stand_beside_their_target():
    result = calibration_figure(calibration(["lora", "mean"]), 0.05, "p95").axes[1]
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in result.lines[1:]]
    assert [label.get_text() for label in result.get_yticklabels()] == ["lora", "mean"]
    assert points == [(ratio, pytest.approx(row)) for ratio in (2, 1) for row in (-0.2, 0.2, 0.8, 1.2)]
    hollow = [line.get_markerfacecolor() == "none" for line in result.lines[1:]]
    assert hollow == [True] * 4 + [False] * 4
    left, right = result.get_xlim()
    assert left <= 0.7 and right > 2


def test_calibration_points_without_statistics_are_left_out():
    table = calibration(["lora"])
    overflow = table.head(1).with_columns(coefficient=pl.lit(1e6), p95=pl.lit(None, pl.Float64), step=pl.lit(4))
    figure = calibration_figure(pl.concat([table, overflow.select(table.columns)], how="vertical_relaxed"), 0.05, "p95")
    render(figure)
    assert panel(figure, "seed 0").get_xlim()[1] < 10


def test_prompts_are_reference_lines_in_every_survival_panel_of_their_cell():
    steered = curve(["lora", "mean"], [0.0, 1.0, 3.0], ["one", "two"])
    prompts = curve(PROMPTS, [-1.0, 0.0, 1.0], ["one"]).with_columns(survival=pl.col("survival") * 0.6)
    figure = survival_figure(with_prompts(steered, prompts))
    render(figure)
    assert_legend_is_beside(figure, figure.canvas.get_renderer())
    names = ["simple", "simple, negative", "engineered", "engineered, negative"]
    assert legend_texts(figure)[-4:] == names
    lines = figure.legends[0].get_lines()[-4:]
    assert len({(line.get_color(), str(line._dash_pattern)) for line in lines}) == 4
    assert {line.get_color() for line in lines} == {"black", "0.5"}
    panels = [axes for axes in figure.axes if axes.get_xlabel()]
    assert [axes.get_title(loc="left").split("\n")[-1] for axes in panels] == ["lora", "mean"] * 2
    for axes, expected in zip(panels, [4, 4, 0, 0], strict=True):
        drawn = [line for line in axes.lines if line.get_drawstyle() == "steps-post" and line.get_linewidth() == 1.1]
        assert [line.get_ydata()[1] for line in drawn] == [0.6] * expected


def test_prompts_are_horizontal_lines_in_the_calibration_figure():
    prompts = calibration(PROMPTS).filter(pl.col("step") == 3).with_columns(p95=pl.col("p95") * 7)
    figure = calibration_figure(with_prompts(calibration(["lora"]), prompts), 0.05, "p95")
    assert_legend_is_beside(figure, render(figure))
    assert legend_texts(figure)[0] == "lora"
    assert legend_texts(figure)[-4:] == ["simple", "simple, negative", "engineered", "engineered, negative"]
    axes = panel(figure, "seed 0")
    flat = [line.get_ydata()[0] for line in axes.lines if line.get_linewidth() == 1.1 and len(line.get_xdata()) == 2]
    assert flat == [7.0] * 4, "the audit is none of them"
    assert axes.get_ylim()[1] > 7


def test_prompts_have_their_own_spaghetti_without_a_target():
    both = with_prompts(tokens(["lora"], [0.0, 1.0]), tokens(["simple"], [-1.0, 1.0]))
    lives = with_prompts(lived(["lora"], [0.0, 1.0]), lived(["simple"], [-1.0, 1.0]))
    figure = spaghetti(both, lives, with_prompts(targets(["lora"]), targets(["simple"])))
    dotted = [any(line.get_linestyle() == ":" for line in axes.lines) for axes in figure.axes]
    assert dotted == [True, True, False, False]
    assert "target, 1 nats" in legend_texts(figure)


def test_every_sign_has_its_own_target():
    by_sign = targets(["lora"]).with_columns(target=pl.when(pl.col("sign") == "negative").then(3.0).otherwise(0.5))
    figure = spaghetti(tokens(["lora"], [-1.0, 1.0]), lived(["lora"], [-1.0, 1.0]), by_sign)
    assert [panel(figure, f"alpha {a}").lines[-2].get_ydata()[0] for a in (-1, 1)] == [3.0, 0.5]
    assert "target" in legend_texts(figure)
    figure = calibration_figure(by_sign, 0.1, "p95")
    bands = [(band.get_y(), band.get_height()) for band in panel(figure, "seed 0").patches]
    assert bands == [pytest.approx((0.45, 0.1)), pytest.approx((2.7, 0.6))]
    assert "targets ± 10 %" in legend_texts(figure)


@pytest.mark.parametrize("methods", [["lora"], METHODS])
def test_training_figure_draws_both_splits_and_signs(methods):
    figure = training_figure(training(methods))
    assert_legend_is_beside(figure, render(figure))
    assert len(figure.axes) == len(methods)
    lines = panel(figure, methods[-1]).lines
    assert sorted(line.get_ydata()[0] for line in lines) == [3, 3, 4, 4]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 4


def test_saved_bytes_depend_on_the_figure_only(tmp_path):
    for name in ("one", "two"):
        save(survival_figure(curve(["lora"], [0.0, 2.0])), tmp_path / f"{name}.png", tmp_path / f"{name}.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "one.svg", "two.png", "two.svg"]
    for suffix in ("png", "svg"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    assert b"<dc:date>" not in (tmp_path / "one.svg").read_bytes()


def test_drawing_leaves_global_settings_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    save(training_figure(training(["lora"])), tmp_path / "one.png", tmp_path / "one.svg")
    assert dict(matplotlib.rcParams) == before


def test_survival_by_dose_has_a_panel_an_alpha_and_its_sign_of_each_prompt():
    steered = curve(["lora", "mean"], [0.0, 3.0, -1.0])
    prompts = curve(["simple"], [-1.0, 0.0, 1.0]).with_columns(survival=pl.col("survival") * 0.6)
    figure = survival_by_dose_figure(with_prompts(steered, prompts))
    assert_legend_is_beside(figure, render(figure))
    panels = [axes for axes in figure.axes if axes.get_xlabel()]
    assert [axes.get_title(loc="left").split("\n")[-1] for axes in panels] == ["alpha -1", "alpha 0", "alpha 3"]
    assert legend_texts(figure) == ["lora", "mean", "confidence\ninterval", "simple", "simple, negative"]
    for axes, color in zip(panels, ("0.5", "black", "black"), strict=True):
        drawn = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
        assert len(drawn) == 3
        assert drawn[-1].get_color() == color and drawn[-1].get_ydata()[1] == 0.6
    ends = [line.get_ydata()[-1] for line in panels[2].lines if line.get_drawstyle() == "steps-post"]
    assert ends == [0, 0, 0.6]


def test_intervals_by_dose_are_those_of_the_curve_at_their_place():
    table = curve(["lora", "mean"], [3.0])
    axes = panel(survival_by_dose_figure(table), "alpha 3")
    bars = [line for line in axes.lines if line.get_linewidth() == 1]
    assert len({bar.get_xdata()[0] for bar in bars}) == len(bars) == 2
    for bar in bars:
        row = table.filter((pl.col("method") == "lora") & (pl.col("t") <= bar.get_xdata()[0])).row(-1, named=True)
        assert list(bar.get_ydata()) == [row["ci_low"], row["ci_high"]]


def test_one_survivor_lies_above_the_median_and_many_below():
    lives = lived(["lora"], [2.0]).with_columns(died=pl.Series([True, False, True]))
    axes = panel(spaghetti(tokens(["lora"], [2.0]), lives, targets(["lora"])), "alpha 2")
    below, above = axes.collections
    assert [to_hex(color).upper() for color in above.get_color()] == [ALIVE]
    assert below.get_zorder() < axes.lines[-1].get_zorder() < above.get_zorder()
    figure = spaghetti(tokens(["lora"], [1.0]), lived(["lora"], [1.0]), targets(["lora"]))
    below, above = panel(figure, "alpha 1").collections
    assert (len(below.get_segments()), len(above.get_segments())) == (3, 0)


def test_no_median_of_fewer_than_asked_for():
    few = spaghetti(tokens(["lora"], [1.0]), lived(["lora"], [1.0]), targets(["lora"]), fewest=4)
    assert len(panel(few, "alpha 1").lines[-1].get_xdata()) == 0


def test_a_mean_over_tokens_is_named_on_the_axis():
    figure = spaghetti(tokens(["lora"], [1.0]), lived(["lora"], [1.0]), targets(["lora"]), smoothing=9)
    assert figure.get_supylabel().replace("\n", " ").endswith("(nats), centred mean of 9 tokens")


def test_a_panel_says_how_many_of_its_lines_are_shown():
    many = pl.concat([tokens(["lora"], [1.0]).with_columns(prompt_id=pl.col("prompt_id") + f"_{i}") for i in range(50)])
    lives = many.group_by("prompt_id").agg().sort("prompt_id")
    lives = lives.join(lived(["lora"], [1.0]).head(1).drop("prompt_id"), how="cross")
    axes = spaghetti(many, lives, targets(["lora"])).axes[0]
    assert axes.get_title(loc="left").endswith("alpha 1\n100 of 150 shown")
    assert sum(len(part) > 0 for lines in axes.collections for part in lines.get_segments()) == 100


def test_normalised_lines_start_at_their_own_level_and_leave_alpha_0_out():
    steps = tokens(["lora"], [0.0, 2.0], length=24)
    figure = normalised(steps, lived(["lora"], [0.0, 2.0]))
    (axes,) = figure.axes
    (level,) = {line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == ":"}
    assert level == 1
    scale = np.quantile(0.4 * np.arange(1, 21), 0.95)
    dead = axes.collections[0].get_segments()[1]  # the first prompt died before its first token
    assert dead[:, 1] == pytest.approx(0.4 * np.arange(1, 25) / scale)


def test_a_study_of_short_answers_has_nothing_to_normalise():
    figure = normalised(tokens(["lora"], [1.0], length=19), lived(["lora"], [1.0]))
    assert not figure.axes
    assert figure.texts[0].get_text().startswith("No trajectory has 20 tokens")


def test_the_fan_stops_where_few_are_left():
    steps = tokens(["lora"], [1.0], length=8).filter((pl.col("t") <= 4) | (pl.col("prompt_id") == "p1"))
    quantiles = kl_quantiles(steps, lived(["lora"], [1.0]), even_edges(8, 4))
    upper, lower = kl_fan_figure(quantiles, 2).axes
    (median,) = upper.lines
    assert median.get_xdata().tolist() == [0, 2, 4]
    assert median.get_ydata() == pytest.approx([0.25, 0.45, 0.45])
    outer = upper.collections[0].get_datalim(upper.transData)
    assert (outer.x0, outer.x1) == (0, 4)
    (few,) = lower.patches
    assert (few.get_x(), few.get_width(), few.get_hatch()) == (4, 4, FEW_LEFT["hatch"])
    (ended,) = lower.lines
    assert ended.get_xdata().tolist() == [6]
    assert lower.get_yticks().tolist() == [0, 3]


def test_a_study_without_enough_trajectories_has_a_fan_without_bands():
    quantiles = kl_quantiles(tokens(["lora"], [1.0]), lived(["lora"], [1.0]), even_edges(6, 4))
    upper, _ = kl_fan_figure(quantiles, 4).axes
    assert not upper.lines and not upper.collections


def test_aggregate_draws_pmass_at_forks_alone_with_both_readings():
    upper, lower = aggregate(tokens(["lora"], [1.0], length=24), lived(["lora"], [1.0])).axes
    unsteered, steered, threshold = lower.lines
    assert steered.get_linestyle() == unsteered.get_linestyle() == "None"
    assert steered.get_xdata().tolist() == unsteered.get_xdata().tolist() == [0, 2, 8, 24]
    assert steered.get_ydata() == pytest.approx([0.8, 0.75, 0.6, 0.2])
    assert set(unsteered.get_ydata()) == {0.9} and set(threshold.get_ydata()) == {0.6}
    (median,) = upper.lines
    assert median.get_xdata().tolist() == [0, 2, 8, 24]
    assert median.get_ydata() == pytest.approx([0.25, 0.65, 1.75, 1.75])


def test_forks_of_few_trajectories_and_other_probes_are_not_drawn():
    lives = lived(["lora"], [1.0])
    read = forks(lives).filter((pl.col("t") < 8) | (pl.col("prompt_id") == "p1"))
    read = pl.concat([read, read.with_columns(probe=pl.lit("second"), pmass=pl.lit(0.0))])
    pmass = fork_quantiles(read, "first")
    assert pmass.filter(t=8)["left"].to_list() == [1, 1]
    kl = kl_quantiles(tokens(["lora"], [1.0], length=24), lives, [0, 2, 8, 24])
    lower = aggregate_figure(kl, pmass, {"m": 0.6}, 2).axes[1]
    assert [line.get_xdata().tolist() for line in lower.lines[:2]] == [[0, 2], [0, 2]]
