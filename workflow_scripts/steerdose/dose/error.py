"""How well prompts fix a dose: an interval of c_star over resampled prompts."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student_t

from steerdose.dose.doses import CONFIDENCE
from steerdose.dose.kl_statistics import STATISTICS, statistics_along
from steerdose.dose.search import NOISE, SLOPES
from steerdose.seeds import seed_from

RESAMPLES, SMALL_DOSE = 2000, 2.0  # KL grows with the square of a small dose


def log_slope(evaluations: Mapping[float, float], dose: float) -> float:
    """Return d ln statistic / d ln dose near a dose, from the evaluated dose that is nearest to it in log.

    evaluations: the statistic (nats) by dose. Kept within `SLOPES`; of small doses where only one is known.
    """
    known = {each: value for each, value in evaluations.items() if value > NOISE and np.isfinite(value)}
    others = [each for each in known if each != dose]
    if dose not in known or not others:
        return SMALL_DOSE
    near = min(others, key=lambda other: abs(np.log(other / dose)))
    return float(np.clip(np.log(known[near] / known[dose]) / np.log(near / dose), *SLOPES))


def dose_interval(
    kl: Sequence[Sequence[float]], statistic: str, target: float, dose: float, slope: float
) -> tuple[float, float]:
    """Return 95 % bounds of the dose at which the statistic meets the target, over resampled prompts.

    kl: of every token at `dose`, nats, a list a prompt. Each resample's statistic, over all of its tokens, moves the
    dose along the slope. Resamples of few prompts spread too little, which the factor of a t interval makes good
    (see the tests). What it holds is the choice of prompts alone: neither other texts nor longer ones.
    """
    texts = [np.asarray(each, dtype=np.float64) for each in kl if len(each)]
    generator = np.random.default_rng(seed_from("dose_interval", len(texts)))
    place = STATISTICS.index(statistic)
    found = [
        statistics_along(np.concatenate([texts[i] for i in rows]))[place]
        for rows in generator.integers(0, len(texts), (RESAMPLES, len(texts)))
    ]
    logs = np.log(dose) + np.log(target / np.maximum(found, NOISE)) / slope
    tails = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    few = np.sqrt(len(texts) / (len(texts) - 1)) * student_t.ppf(tails[1], len(texts) - 1) / norm.ppf(tails[1])
    centre = np.median(logs)
    low, high = np.exp(centre + few * (np.quantile(logs, tails) - centre))
    return float(low), float(high)
