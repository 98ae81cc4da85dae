"""How much faster does a stronger dose kill? Cox and accelerated-failure-time models in log dose."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError, ConvergenceWarning
from scipy.optimize import linprog
from scipy.stats import norm

from steerdose.columns import CELL, has_dose, sign_of_alpha
from steerdose.survival.aft import ERRORS, Intervals, fit_aft, likelihood_ratio_p, profile_interval
from steerdose.survival.lifetimes import death_intervals

DOSE, STEP = "dose 10 % higher", 1.1
GROUPS = 24  # of prompts
EXACT = {"precision": 1e-10}  # lifelines' own stops 1e-6 of an estimate short of R's
COLUMNS: dict[str, type[pl.DataType]] = {
    **{"model": pl.String, "behavior": pl.String, "seed": pl.Int64, "sign": pl.String, "methods": pl.String},
    **{"fit": pl.String, "term": pl.String, "ratio": pl.String, "estimate": pl.Float64, "low": pl.Float64},
    **{"high": pl.Float64, "p": pl.Float64, "aic": pl.Float64},
    **{"n": pl.Int64, "died": pl.Int64, "note": pl.String},
}
NO_DEATHS = "nobody died"
ONE_DOSE = "one dose only"
SEPARATED = "complete separation"
FAILED = "the fit did not converge"
WIDEST = 1e5  # scale of log T; where all die at once or never, the likelihood rises with it without end
NO_FIT = (ConvergenceError, ConvergenceWarning)  # the warnings are raised, see `_estimate`
Rows = list[dict[str, Any]]


def hazard_table(lifetimes: pl.DataFrame, times: Sequence[int], confidence: float = 0.95) -> pl.DataFrame:
    """Fit deaths on log |alpha| and method; lifetimes: as `lifetimes` returns them; times: the fork grid.

    Of each cell and sign of alpha: a Cox and an AFT fit of each method alone, and of all together where there are
    several. alpha 0 is left out: it has no logarithm, and it is the same model under every method. In the logarithm the
    hazard is a power of the dose, with one ratio for each 10 %. Linear in alpha, the step from 3 to 4 would multiply
    the hazard by as much as the step from 0 to 1, while KL grows with the square of a small dose.

    Returns `COLUMNS`, a row a term. Where the likelihood has no maximum the numbers are null and the note says why.
    """
    dosed = death_intervals(lifetimes, times).filter(has_dose(), pl.col("alpha") != 0).with_columns(sign_of_alpha())
    rows: Rows = []
    for part in dosed.sort(*CELL, maintain_order=True).partition_by(*CELL, "sign", maintain_order=True):
        names = part.select(*CELL, "sign").row(0, named=True)
        alone = part.partition_by("method", maintain_order=True)
        fits = [(each["method"][0], each) for each in alone] + ([("all", part)] if len(alone) > 1 else [])
        for methods, lives in fits:
            names |= {"methods": methods, "n": lives.height, "died": int(lives["died"].sum())}
            rows += [{**names, "fit": "Cox", "ratio": "hazard", **row} for row in cox(lives, confidence)]
            rows += [{**names, "fit": "AFT", "ratio": "time", **row} for row in aft(lives, confidence)]
    return pl.DataFrame(rows, schema=COLUMNS)


def cox(lives: pl.DataFrame, confidence: float = 0.95) -> Rows:
    """Return term, estimate (hazard ratio), low, high, p and note of a Cox model with dose and method.

    lives: lifetimes of one cell and sign. Deaths are seen at few times, so ties are many: Efron's approximation. The
    standard error is the larger of the model's and of the jackknife over prompts, since the same prompts recur at each
    dose; the latter alone is too small for few prompts, and 0 when all prompts fare alike. lifelines' own clustered
    errors, and its test of proportional hazards, depend on the order of the rows where deaths tie, and are not used.
    """

    def estimate(lives: pl.DataFrame, x: pd.DataFrame) -> Rows:
        frame = x.assign(duration=lives["duration"].to_numpy(), died=lives["died"].to_numpy())
        fit = CoxPHFitter().fit(frame, "duration", "died", fit_options=EXACT)
        ratios = _ratios(fit.params_, np.maximum(fit.standard_errors_, _jackknife(frame, lives)), confidence)
        return [{"term": term, **ratio} for term, ratio in zip(x, ratios, strict=True)]

    return _fit(lives, _cox_directions, estimate)


def _jackknife(frame: pd.DataFrame, lives: pl.DataFrame) -> np.ndarray:
    """Return the standard errors of Cox's coefficients, (terms,), if each prompt is one cluster.

    Prompts are left out by groups, `GROUPS` at most (Kott, 2001). A rest without a finite estimate is left out itself.
    """
    _, prompt = np.unique(lives["prompt_id"].to_numpy(), return_inverse=True)
    group, found = prompt % GROUPS, []
    for each in np.unique(group):
        try:
            found.append(CoxPHFitter().fit(frame[group != each], "duration", "died", fit_options=EXACT).params_)
        except NO_FIT:
            continue
    if len(found) < 2:
        return np.zeros(frame.shape[1] - 2)
    return np.sqrt((len(found) - 1) * np.var(found, axis=0))


def aft(lives: pl.DataFrame, confidence: float = 0.95) -> Rows:
    """Return fit, term, estimate (time ratio), low, high, p, aic and note of an AFT model with dose and method.

    lives: with `after` and `until`. log(T + 1) = terms + scale x error, with T in tokens and an extreme-value (Weibull)
    or logistic error, whichever has the lower AIC. T lies in (after, until]: deaths at 0 are in (-1, 0], so that one
    token is added to have a positive time. Profile-likelihood intervals and likelihood-ratio p, which take all
    trajectories as independent.
    """

    def estimate(lives: pl.DataFrame, x: pd.DataFrame) -> Rows:
        every = np.column_stack([lives["after"].to_numpy() + 1, lives["until"].to_numpy() + 1, x.to_numpy()])
        rows, weight = np.unique(every, axis=0, return_counts=True)
        data = Intervals(rows[:, 0], rows[:, 1], rows[:, 2:], weight)
        fits = {name: fit_aft(data, name) for name in ERRORS}
        name = min(fits, key=lambda name: fits[name].aic)
        if fits[name].scale > WIDEST:
            raise ConvergenceError(FAILED)
        found: Rows = []
        for i, term in enumerate(x):
            low, high = profile_interval(data, name, fits[name], i, confidence)
            numbers = {"estimate": fits[name].beta[i], "low": low, "high": high}
            ratios = {key: float(np.exp(value)) if np.isfinite(value) else None for key, value in numbers.items()}
            p = likelihood_ratio_p(data, name, fits[name], i)
            found.append({"fit": name, "term": term, "aic": fits[name].aic, "p": p, **ratios})
        return found

    return _fit(lives, _aft_directions, estimate)


def unbounded(directions: np.ndarray, n: int) -> np.ndarray:
    """Return which of the first n parameters have no finite maximum likelihood estimate, (n,) bool.

    directions: (conditions, parameters). A concave log-likelihood does not fall along d from any point if and only if
    directions @ d >= 0 (as Albert and Anderson, 1984, show for logistic models). A parameter that any such d other than
    0 can move has no finite, or no unique, estimate; linear programs look for that d.
    """
    width = directions.shape[1]
    reach = [
        linprog(sign * np.eye(width)[i], A_ub=-directions, b_ub=np.zeros(len(directions)), bounds=(-1, 1)).fun
        for i in range(n)
        for sign in (1, -1)
    ]
    return np.reshape(reach, (n, 2)).min(axis=1) < -1e-6


def _cox_directions(lives: pl.DataFrame, x: pd.DataFrame) -> tuple[np.ndarray, int]:
    """Conditions on the terms and the log baseline hazard of each fork with deaths; the number of terms.

    They are those of proportional hazards in grouped time (Prentice and Gloeckler, 1978): the log hazard of those that
    die at a fork must not fall, that of those that live on must not rise. Cox's likelihood can have a maximum without
    them, since Efron's approximation reads an order into deaths at one fork; such a ratio is about the ties.
    """
    duration, died = lives["duration"].to_numpy(), lives["died"].to_numpy()
    times = np.unique(duration[died])
    found = []
    for t, fork in zip(times, np.eye(len(times)), strict=True):
        at_risk = duration >= t
        rows = np.column_stack([x.to_numpy()[at_risk], np.tile(fork, (at_risk.sum(), 1))])
        found.append(np.where(died & (duration == t), 1, -1)[at_risk, None] * rows)
    return np.unique(np.concatenate(found), axis=0), x.shape[1]


def _aft_directions(lives: pl.DataFrame, x: pd.DataFrame) -> tuple[np.ndarray, int]:
    """Conditions on (terms / scale, intercept / scale, 1 / scale), and their number.

    In these the log-likelihood is concave. The standardised upper end log(until + 1) / scale - predictor / scale must
    not fall, the lower end must not rise.
    """
    rows = np.column_stack([x.to_numpy(), np.ones(len(x))])
    after, until = lives["after"].to_numpy(), lives["until"].to_numpy()
    dead, read = np.isfinite(until), after > -1
    upper = np.column_stack([-rows[dead], np.log1p(until[dead])])
    lower = np.column_stack([rows[read], -np.log1p(after[read])])
    scale = np.eye(rows.shape[1] + 1)[-1:]
    return np.unique(np.concatenate([upper, lower, scale]), axis=0), rows.shape[1] + 1


def _fit(
    lives: pl.DataFrame,
    directions: Callable[[pl.DataFrame, pd.DataFrame], tuple[np.ndarray, int]],
    estimate: Callable[[pl.DataFrame, pd.DataFrame], Rows],
) -> Rows:
    """Estimate the terms that have a finite estimate, and say of the others why they have none.

    A method whose own term is unbounded, for instance since none of its trajectories died, is left out of the rest.
    """
    if not lives["died"].any():
        return [{"term": DOSE, "note": NO_DEATHS}]
    x = _terms(lives)
    rows: Rows = [] if DOSE in x else [{"term": DOSE, "note": ONE_DOSE}]
    if x.empty:
        return rows
    is_open = unbounded(*directions(lives, x))
    lost = [term for term, out in zip(x, is_open[: x.shape[1]], strict=True) if out and term != DOSE]
    deadly = [term for term in lost if lives.filter(x[term].to_numpy() == 1)["died"].any()]
    left_out = [{"term": term, "note": SEPARATED if term in deadly else NO_DEATHS} for term in lost]
    if lost:
        kept = (x[lost] == 0).all(axis=1).to_numpy()
        lives, x = lives.filter(kept), x.loc[kept].drop(columns=lost)
        if x.empty:
            return rows + left_out
        is_open = unbounded(*directions(lives, x))
    return rows + _estimate(lives, x, estimate, SEPARATED if is_open.any() else None) + left_out


def _estimate(
    lives: pl.DataFrame, x: pd.DataFrame, estimate: Callable[[pl.DataFrame, pd.DataFrame], Rows], note: str | None
) -> Rows:
    """Return the estimate; or the note that stands already; or one that says that the fit did not converge."""
    if note is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", ConvergenceWarning)
            try:
                rows = estimate(lives, x)
            except NO_FIT:
                rows = []
        if rows and all(
            row["high"] is None or math.isfinite(row["high"]) for row in rows
        ):  # an error of NaN: a bound of NaN
            return rows
    return [{"term": term, "note": note or FAILED} for term in x]


def _terms(lives: pl.DataFrame) -> pd.DataFrame:
    """Return the covariates, (trajectories, terms): log |alpha| where it varies, and an indicator a method but one.

    That one, the reference, is the first method with deaths and survivors.
    """
    dose = lives["alpha"].abs().log(STEP).to_numpy()
    methods = lives["method"].unique(maintain_order=True).to_list()
    mixed = lives.group_by("method", maintain_order=True).agg(pl.col("died").n_unique()).filter(pl.col("died") > 1)
    reference = [*mixed["method"], *methods][0]
    terms = {DOSE: dose} if len(np.unique(dose)) > 1 else {}
    for method in methods:
        if method != reference:
            terms[f"{method} instead of {reference}"] = (lives["method"] == method).to_numpy().astype(float)
    return pd.DataFrame(terms)


def _ratios(params: pd.Series, se: pd.Series, confidence: float) -> Rows:
    """Return estimate, low, high and p (Wald) of each ratio exp(parameter)."""
    half = norm.ppf((1 + confidence) / 2) * se
    columns = np.exp(params), np.exp(params - half), np.exp(params + half), 2 * norm.sf(np.abs(params / se))
    return [
        dict(zip(("estimate", "low", "high", "p"), map(float, row), strict=True)) for row in zip(*columns, strict=True)
    ]
