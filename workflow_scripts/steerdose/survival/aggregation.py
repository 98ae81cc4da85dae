"""Which statistic of per-token KL sees what breaks a model? On two simulated students, and on the study's rollouts.

A broad harmless shift and a token loop can have KL of one scale on most tokens; what tells them apart is the aggregator
(the diagnostic of steer-heal-love, whose table of ratios the simulated students reproduce).
"""

from typing import Any

import numpy as np
import polars as pl
from scipy.special import expit, rel_entr, softmax
from scipy.stats import norm

from steerdose.columns import CELL, KEYS
from steerdose.dose.kl_statistics import STATISTICS, statistics_along
from steerdose.outcomes.kl import padded
from steerdose.seeds import seed_from

POSITIONS = 60
# The broad student raises one trait word by SHIFT everywhere. Its base log-odds are Gaussian over the positions, and
# higher at four where it is a likely word. The published numbers fix mean, deviation, the four's log-odds, and SHIFT.
LOG_ODDS, SPREAD, LIKELY_LOG_ODDS, SHIFT = -4.756, 1.143, -3.011, 1.071
LIKELY = (7, 22, 37, 52)
# The looping student is sure of one token at four positions in a row and the base elsewhere. The base reads the loop
# too, so each repeat surprises it by less: nats at the first, and the factor from one to the next.
LOOP, SURPRISE, FADING, CERTAIN = (32, 33, 34, 35), 8.055, 0.7727, 60.0
CALIPER = 1.25  # trajectories are compared if their mean KLs differ by less than this factor
MIN_DEATHS, MIN_PROMPTS, RESAMPLES = 10, 5, 2000


def simulated_students() -> pl.DataFrame:
    """Return student (broad, loop), position (1 to 60) and KL against the base (nats), from logits of three tokens.

    The construction is ours; its mean, rmse, p95 and max, and their ratios, are those of the published table to 1 %.
    """
    odds = np.full(POSITIONS, LIKELY_LOG_ODDS)
    others = np.setdiff1d(np.arange(POSITIONS), LIKELY)
    quantiles = norm.ppf((np.arange(len(others)) + 0.5) / len(others))
    odds[others] = LOG_ODDS + SPREAD * quantiles[np.arange(len(others)) * 33 % len(others)]  # 33: in no visible order
    loop = np.full(POSITIONS, -np.inf)
    loop[list(LOOP)] = -SURPRISE * FADING ** np.arange(len(LOOP))
    # Tokens: any other word, the trait word, the looped token; base probabilities to logits.
    rest = 1 - np.exp(loop)
    base = np.stack([np.log(rest * expit(-odds)), np.log(rest * expit(odds)), np.maximum(loop, -700)], axis=-1)
    broad, looping = base.copy(), base.copy()
    broad[:, 1] += SHIFT
    looping[list(LOOP), 2] += CERTAIN
    frames = [
        pl.DataFrame({"position": np.arange(1, POSITIONS + 1), "kl": _kl(logits, base)}).select(
            pl.lit(student).alias("student"), "position", "kl"
        )
        for student, logits in (("broad", broad), ("loop", looping))
    ]
    return pl.concat(frames)


def _kl(student: np.ndarray, base: np.ndarray) -> np.ndarray:
    return rel_entr(softmax(student, axis=-1), softmax(base, axis=-1)).sum(axis=-1)


def separation(histories: pl.DataFrame, lifetimes: pl.DataFrame, confidence: float = 0.95) -> pl.DataFrame:
    """Return how well each statistic of a trajectory's KL tells those that die from those that live, at equal mean KL.

    Every death at fork t > 0 is compared with the trajectories of its cell (all methods and steered doses) that were
    read alive at t, on tokens 1 to t of both: sampling from the risk set, so that no statistic profits from a longer
    trajectory. Pairs whose mean KLs differ by a factor of `CALIPER` or more are left out. auc: the share of the pairs
    in which the dying one has the higher value, ties half; the row `mean` shows what the caliper lets through.
    auc_low, auc_high: percentiles of a bootstrap over prompts, which resamples all trajectories of a prompt together.
    share_best: the share of the resamples in which this statistic has the highest auc, ties split.

    Also deaths, deaths_at_0 (before any token, so without KL), matched_deaths, pairs and a note in words. With fewer
    than `MIN_DEATHS` matched deaths on `MIN_PROMPTS` prompts the estimates are null.
    """
    steered = lifetimes.filter(pl.col("alpha") != 0)
    dead = steered.filter("died")
    prompts = {prompt: i for i, prompt in enumerate(sorted(set(steered["prompt_id"])))}
    wins = np.zeros((len(STATISTICS), len(prompts), len(prompts)))  # of a case's prompt against a control's
    pairs = np.zeros((len(prompts), len(prompts)))
    matched: list[int] = []  # the prompt of each death with a match
    # Trajectories without tokens have no history, and are at risk at fork 0 alone.
    at_risk = steered.join(histories, on=KEYS, nulls_equal=True, maintain_order="left")
    for cell in at_risk.partition_by(CELL):
        kl = padded([each.to_numpy() for each in cell["kl"]])
        for t in sorted(set(cell.filter(pl.col("died") & (pl.col("duration") > 0))["duration"])):
            here = (cell["duration"] >= t).to_numpy()
            _compare(cell.filter(here), kl[here, :t], t, prompts, wins, pairs, matched)
    estimates: dict[str, Any] = dict.fromkeys(("auc", "auc_low", "auc_high", "share_best"))
    enough = len(matched) >= MIN_DEATHS and len(set(matched)) >= MIN_PROMPTS
    if enough:
        estimates = _estimate(wins, pairs, confidence)
    at_0 = dead.filter(duration=0).height
    note = f"{len(matched)} deaths on {len(set(matched))} prompts can be compared with survivors of equal mean KL"
    if not enough:
        note += f", {MIN_DEATHS} on {MIN_PROMPTS} are needed: no estimate"
    note += f". Of {dead.height} deaths, {at_0} came at fork 0, before any KL."
    counts = {"deaths": dead.height, "deaths_at_0": at_0, "matched_deaths": len(matched), "pairs": int(pairs.sum())}
    return pl.DataFrame(
        {"statistic": STATISTICS, **estimates}, schema_overrides=dict.fromkeys(estimates, pl.Float64)
    ).with_columns(*[pl.lit(value).alias(name) for name, value in (counts | {"note": note}).items()])


def _compare(
    at_risk: pl.DataFrame,
    kl: np.ndarray,
    t: int,
    prompts: dict[str, int],
    wins: np.ndarray,
    pairs: np.ndarray,
    matched: list[int],
) -> None:
    """Add the pairs of the deaths at t to `wins` (statistics, prompts, prompts), `pairs` and `matched`.

    kl: up to t, (at risk, t).
    """
    values = statistics_along(kl)
    prompt = np.array([prompts[each] for each in at_risk["prompt_id"]])
    dies = (at_risk["died"] & (at_risk["duration"] == t)).to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.log(values[STATISTICS.index("mean")])
        near = np.abs(level[dies][:, None] - level[~dies]) < np.log(CALIPER)
    case, control = np.nonzero(near)
    for i in range(len(STATISTICS)):
        higher = values[i][dies][case] - values[i][~dies][control]
        np.add.at(wins[i], (prompt[dies][case], prompt[~dies][control]), (np.sign(higher) + 1) / 2)
    np.add.at(pairs, (prompt[dies][case], prompt[~dies][control]), 1)
    matched.extend(prompt[dies][near.any(axis=1)].tolist())


def _estimate(wins: np.ndarray, pairs: np.ndarray, confidence: float) -> dict[str, np.ndarray]:
    """Return auc, its interval and share_best, (statistics,) each."""
    n = len(pairs)
    generator = np.random.default_rng(seed_from("aggregation"))
    weights = generator.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(float)
    total = ((weights @ pairs) * weights).sum(-1)
    weights, total = weights[total > 0], total[total > 0]
    resampled = np.stack([((weights @ each) * weights).sum(-1) / total for each in wins])
    best = np.isclose(resampled, resampled.max(axis=0))
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2], axis=1)
    return {
        "auc": wins.sum((1, 2)) / pairs.sum(),
        "auc_low": low,
        "auc_high": high,
        "share_best": (best / best.sum(axis=0)).mean(axis=1),
    }
