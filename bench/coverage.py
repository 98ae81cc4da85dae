"""Do intervals hold what they say? Studies with a known truth, simulated many times, through the project's estimators.

Prompts differ, and are shared by all doses; some texts end their turn (a competing end); the coefficient of dose 1 is
itself an estimate. Run `python bench/coverage.py`; it prints a table: a row a quantity and number of prompts, how often
the interval held the truth, or, of tests, how often they rejected what is true. `--studies 50` is a quick look.
"""

import argparse
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "workflow_scripts")]

import numpy as np  # noqa: E402
import polars as pl  # noqa: E402
from scipy.integrate import quad  # noqa: E402
from scipy.optimize import brentq  # noqa: E402
from scipy.stats import binomtest, norm  # noqa: E402
from steerdose.dose.error import dose_interval  # noqa: E402
from steerdose.dose.kl_statistics import STATISTICS, statistics_along  # noqa: E402
from steerdose.survival.dose_response import dose_response  # noqa: E402
from steerdose.survival.hazards import hazard_table  # noqa: E402
from steerdose.survival.kaplan_meier import estimate_survival  # noqa: E402
from steerdose.survival.logrank import compare  # noqa: E402
from steerdose.survival.ranking import ranking  # noqa: E402

ALPHAS = (1.0, 1.5, 2.0, 2.5, 3.0)
WINDOW = 128
TIMES = tuple(range(WINDOW + 1))
LD50_NEAR, STEEP, PROMPTS, TEXTS, ENDS = 2.0, 3.0, 0.5, 0.4, (5.5, 0.7)  # of ln T, see `times`
ERROR = 0.05  # standard error of ln c_star
SAFE = 0.5


def scale() -> float:
    return float(np.hypot(PROMPTS, TEXTS))


def location(dose: float) -> float:
    """The median of ln T at a dose: at LD50_NEAR it is the window's."""
    return float(np.log(WINDOW) - STEEP * np.log(dose / LD50_NEAR))


def survival_at(dose: float, t: float) -> float:
    return float(norm.sf((np.log(t) - location(dose)) / scale()))


def incidence_at(dose: float, t: float = WINDOW) -> float:
    """The share that dies before t and before it ends, with independent ends."""

    def density(x: float) -> float:
        return float(norm.pdf((x - location(dose)) / scale()) / scale() * norm.sf((x - ENDS[0]) / ENDS[1]))

    return float(quad(density, location(dose) - 12 * scale(), np.log(t))[0])


def lethal() -> float:
    return float(brentq(lambda dose: incidence_at(dose) - 0.5, 0.3, 20))


def cohort(generator: np.random.Generator, n: int, samples: int, name: str, seed: int, true: float) -> pl.DataFrame:
    """Lifetimes of one method; true: by which factor its dose 1 is stronger than it should be."""
    prompt = PROMPTS * generator.normal(size=(n, 1))
    frames = []
    for alpha in ALPHAS:
        t = np.exp(location(alpha * true) + prompt + TEXTS * generator.normal(size=(n, samples)))
        end = np.exp(ENDS[0] + ENDS[1] * generator.normal(size=(n, samples)))
        last = np.minimum(end, WINDOW)
        died = t <= last
        frames.append(
            pl.DataFrame(
                {
                    "alpha": alpha, "coefficient": alpha,
"prompt_id": np.repeat([f"p{i:03}" for i in range(n)], samples),
                    "sample": np.tile(np.arange(samples), n), "died": died.ravel(),
                    "duration": np.ceil(np.where(died, t, last)).ravel().astype(int),
                    "ended": ((end < WINDOW) & ~died).ravel(),
                }
            )
        )  # fmt: skip
    keys = {"model": "m", "behavior": "b", "seed": seed, "method": name}
    return pl.concat(frames).with_columns(**{key: pl.lit(value) for key, value in keys.items()})


def doses_of(lives: pl.DataFrame, error: float) -> pl.DataFrame:
    rows = lives.select("model", "behavior", "seed", "method").unique(maintain_order=True)
    half = float(np.exp(norm.ppf(0.975) * error))
    values = {"c_star": 1.0, "c_star_low": 1 / half, "c_star_high": half, "relative_dose": 0.2}
    return rows.with_columns(sign=pl.lit("positive"), **{name: pl.lit(value) for name, value in values.items()})


def of_doses(generator: np.random.Generator, n: int, samples: int, studies: int) -> Iterator[tuple[str, list[bool]]]:
    """Coverage of S(t), cumulative incidence, LD50 and safe dose."""
    true = np.exp(ERROR * generator.normal(size=studies))
    lives = pl.concat(cohort(generator, n, samples, f"{i:04}", 0, factor) for i, factor in enumerate(true))
    curve = estimate_survival(lives, TIMES)[0]
    factor = curve["method"].cast(pl.Int64).to_numpy()
    dose = curve["alpha"].to_numpy() * true[factor]
    for t in (64, 128):
        at = (curve["t"] == t).to_numpy()
        s = np.array([survival_at(each, t) for each in dose[at]])
        inside = (curve["ci_low"].to_numpy()[at] <= s) & (s <= curve["ci_high"].to_numpy()[at])
        yield f"S({t})", inside.tolist()
    at = (curve["t"] == WINDOW).to_numpy()
    dead = np.array([incidence_at(each) for each in dose[at]])
    low, high = (curve[f"incidence_{end}"].to_numpy()[at] for end in ("low", "high"))
    yield "cumulative incidence", ((low <= dead) & (dead <= high)).tolist()
    table = dose_response(curve, lives, doses_of(lives, ERROR), confidence=0.95, safe_level=SAFE)[1]
    low, high = table["ld50_low"].fill_null(0).to_numpy(), table["ld50_high"].fill_null(np.inf).to_numpy()
    truth = lethal()
    yield "LD50", ((low <= truth) & (truth <= high)).tolist()
    shown = table.with_columns(true=pl.Series(true)).drop_nulls("safe_dose")
    really = [1 - incidence_at(dose * factor) > SAFE for dose, factor in shown.select("safe_dose", "true").iter_rows()]
    yield "safe dose (is safe)", really
    yield "safe_dose_low (is safe)", [1 - incidence_at(dose) > SAFE for dose in shown["safe_dose_low"]]


def of_calibration(generator: np.random.Generator, n: int, studies: int) -> Iterator[tuple[str, list[bool]]]:
    """Coverage of c_star: prompts differ, tokens are heavy-tailed, KL grows with the square of the dose."""

    def kl(prompts: int) -> np.ndarray:
        return generator.lognormal(0, 0.4, (prompts, 1)) * generator.lognormal(-1, 1.2, (prompts, 32))

    truth = float(statistics_along(kl(50_000).ravel())[STATISTICS.index("p95")])
    bounds = [dose_interval(kl(n).tolist(), "p95", truth, 1.0, 2.0) for _ in range(studies)]
    yield "c_star", [low <= 1 <= high for low, high in bounds]


def of_tests(generator: np.random.Generator, n: int, studies: int) -> Iterator[tuple[str, list[bool]]]:
    """How often tests at 5 % reject that two equal methods are equal, or rank them."""
    found: dict[str, list[bool]] = {}

    def add(name: str, rejected: Any) -> None:
        found.setdefault(name, []).append(bool(rejected))

    for _ in range(studies):
        a = cohort(generator, n, 1, "a", 0, 1.0)
        b = cohort(generator, n, 1, "b", 0, 1.0)
        test = compare(a.filter(alpha=2.0), b.filter(alpha=2.0))
        add("log-rank p", test["p"] < 0.05)
        add("paired p", test["p_paired"] < 0.05)
        both = pl.concat([a, b])
        p95 = both.select(pl.exclude("died", "duration", "ended")).with_columns(p95=pl.col("alpha") ** 2)
        add("ranking makes an order", ranking(both, p95, doses_of(both, 0.0), 0.95)["group"].max() == 2)
        flat = both.with_columns(alpha=pl.Series(generator.permutation(both["alpha"].to_numpy())))
        rows = hazard_table(flat.filter(method="a"), TIMES)
        for fit in rows.filter(pl.col("term").str.contains("dose")).iter_rows(named=True):
            kind = "Cox" if "Cox" in fit["fit"] else "AFT"
            add(f"{kind} p of a dose without effect", fit["p"] is not None and fit["p"] < 0.05)
    yield from found.items()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--prompts", type=int, nargs="+", default=[12, 24, 100])
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"LD50 {lethal():.3f}, incidence at the doses {[round(incidence_at(a), 2) for a in ALPHAS]}")
    print(f"{'quantity':<44}{'prompts':>8}{'x texts':>8}{'share':>8}   95 % Monte Carlo interval")
    for n in given.prompts:
        for samples in (1, 4):
            for name, held in of_doses(np.random.default_rng(n), n, samples, given.studies):
                show(name, n, samples, held)
        for name, held in of_calibration(np.random.default_rng(n), n, given.studies):
            show(name, n, 1, held)
        for name, rejected in of_tests(np.random.default_rng(n), n, given.studies):
            show(name, n, 1, rejected)


def show(name: str, n: int, samples: int, marks: list[bool]) -> None:
    low, high = binomtest(sum(marks), len(marks)).proportion_ci(0.95) if marks else (0.0, 1.0)
    share = sum(marks) / max(len(marks), 1)
    print(f"{name:<44}{n:>8}{samples:>8}{100 * share:>7.1f}%   {100 * low:.1f} to {100 * high:.1f} %", flush=True)


if __name__ == "__main__":
    main()
