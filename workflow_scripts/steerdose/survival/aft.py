"""Accelerated failure times from intervals, by maximum likelihood.

lifelines' fit sets an open interval's end to 1e25, which is not far where a response is steep: on our data it moved the
log ratio of a dose from -8.4 to -7.6 and its error from 3.4 to 1.1. Here an open end is infinite.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import log_expit
from scipy.stats import chi2

Error = tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]
ERRORS: dict[str, Error] = {  # log S(z) and log f(z) of the standardised error
    "Weibull AFT": (lambda z: -np.exp(np.minimum(z, 700)), lambda z: z - np.exp(np.minimum(z, 700))),
    "log-logistic AFT": (lambda z: log_expit(-z), lambda z: log_expit(z) + log_expit(-z)),
}
FARTHEST = 2.0**8  # times the distance of a first guess; a bound beyond counts as open


@dataclass(frozen=True)
class Intervals:
    """Times T in (low, high], 0 <= low < high <= inf, covariates x and how many such rows there are.

    low, high, weight: (rows,), x: (rows, terms).
    """

    low: np.ndarray
    high: np.ndarray
    x: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Fit:
    """log T = x beta + beta_0 + scale x error. beta: (terms,); loglik: nats."""

    beta: np.ndarray
    scale: float
    loglik: float

    @property
    def aic(self) -> float:
        return 2 * (len(self.beta) + 2 - self.loglik)


def fit_aft(data: Intervals, error: str, fixed: tuple[int, float] | None = None) -> Fit:
    """Return the maximum likelihood fit; fixed: a term and the value that its beta is held at.

    The likelihood is concave in (beta / scale, beta_0 / scale, 1 / scale), of any error with a log-concave density.
    """
    rate, terms = ERRORS[error], np.arange(data.x.shape[1])
    with np.errstate(divide="ignore"):
        ends = np.log(data.low), np.log(data.high)
    free = np.delete(terms, fixed[0]) if fixed else terms
    offset = data.x[:, fixed[0]] * fixed[1] if fixed else np.zeros(len(data.x))
    unit = np.where(data.x.std(axis=0) > 0, data.x.std(axis=0), 1.0)[free]
    design = np.column_stack([data.x[:, free] / unit, np.ones(len(data.x))])

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        return _loss(theta, design, tuple(end - offset for end in ends), rate, data.weight)

    start = np.r_[np.zeros(design.shape[1]), 1.0]
    start[-2] = np.median(np.where(np.isfinite(ends[1]), ends[1], ends[0]))
    bounds = [*[(None, None)] * design.shape[1], (1e-9, None)]
    options = {"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9}
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options=options)
    gamma, slope = found.x[:-1], found.x[-1]
    beta = np.zeros(len(terms))
    beta[free] = gamma[:-1] / unit / slope
    if fixed:
        beta[fixed[0]] = fixed[1]
    return Fit(beta, float(1 / slope), float(-found.fun))


def profile_interval(data: Intervals, error: str, best: Fit, term: int, confidence: float) -> tuple[float, float]:
    """Return the betas of a term at which the profile likelihood falls by the quantile of chi-squared; inf: never."""
    drop = chi2.ppf(confidence, 1) / 2

    def short(beta: float) -> float:
        return best.loglik - fit_aft(data, error, (term, beta)).loglik - drop

    step = best.scale / max(float(data.x[:, term].std()), 1e-9)
    return _crossing(short, best.beta[term], -step), _crossing(short, best.beta[term], step)


def likelihood_ratio_p(data: Intervals, error: str, best: Fit, term: int) -> float:
    """Return the p of a beta of 0, by the likelihood ratio."""
    return float(chi2.sf(2 * max(0.0, best.loglik - fit_aft(data, error, (term, 0.0)).loglik), 1))


def _crossing(short: Callable[[float], float], best: float, step: float) -> float:
    reach = step
    while short(best + reach) < 0:
        reach *= 2
        if abs(reach) > FARTHEST * abs(step):
            return float(np.sign(step) * np.inf)
    return float(brentq(short, best, best + reach, xtol=1e-7, rtol=1e-7))


def _loss(
    theta: np.ndarray, design: np.ndarray, ends: tuple[np.ndarray, ...], rate: Error, weight: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return minus the log-likelihood and its gradient in (gamma, 1 / scale)."""
    log_survival, log_density = rate
    predictor, slope = design @ theta[:-1], theta[-1]
    low, high = (slope * end - predictor for end in ends)
    opened, started = np.isinf(high), np.isinf(low)
    at_low = np.where(started, 0.0, log_survival(np.where(started, 0.0, low)))
    at_high = np.where(opened, -np.inf, log_survival(np.where(opened, 0.0, high)))
    inside = at_low + np.log(-np.expm1(np.minimum(at_high - at_low, -1e-300)))
    down = np.where(started, 0.0, np.exp(log_density(np.where(started, 0.0, low)) - inside))
    up = np.where(opened, 0.0, np.exp(log_density(np.where(opened, 0.0, high)) - inside))
    # d log L / dz is -f / (S(low) - S(high)) at the lower end and + f / ... at the upper one.
    of_slope = up * np.where(opened, 0.0, ends[1]) - down * np.where(started, 0.0, ends[0])
    return -float(weight @ inside), -np.r_[design.T @ (weight * (down - up)), weight @ of_slope]
