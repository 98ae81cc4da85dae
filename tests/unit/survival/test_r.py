"""Survival estimates against R's survival package (Therneau), from its answers to committed cohorts."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from lifelines import CoxPHFitter
from steerdose.survival.aft import Intervals, fit_aft
from steerdose.survival.hazards import EXACT
from steerdose.survival.incidence import incidence
from steerdose.survival.kaplan_meier import estimate_survival
from steerdose.survival.logrank import compare

FOLDER = Path(__file__).parents[2] / "reference/r"
COHORTS = pl.read_csv(FOLDER / "cohorts.csv")
ANSWERS = pl.read_csv(FOLDER / "answers.csv")
NAMES = COHORTS["cohort"].unique(maintain_order=True).to_list()
TIMES = [0, 3, 8, 20, 40, 64]


def answers(cohort, name, **place):
    return ANSWERS.filter(cohort=cohort, name=name, **place)["value"].to_list()


def lives(cohort, alpha=None):
    """Lifetimes of a cohort, as the library has them."""
    own = COHORTS.filter(cohort=cohort) if alpha is None else COHORTS.filter(cohort=cohort, alpha=alpha)
    keys = {"model": "m", "behavior": "b", "seed": 0, "method": "lora"}
    return own.select(
        *[pl.lit(value).alias(key) for key, value in keys.items()],
        "alpha",
        pl.col("alpha").alias("coefficient"),
        pl.col("prompt").alias("prompt_id"),
        pl.lit(0).alias("sample"),
        "duration",
        (pl.col("event") == 1).alias("died"),
        (pl.col("event") == 2).alias("ended"),
        "after",
        "until",
    )


def test_the_cohorts_have_ties_zeros_censoring_and_both_events():
    for name in NAMES:
        own = COHORTS.filter(cohort=name)
        assert own["duration"].n_unique() < own.height / 2
        assert set(own["event"]) == {0, 1, 2}
    assert (COHORTS["duration"] == 0).any()


@pytest.mark.parametrize("name", NAMES)
def test_kaplan_meier_and_cumulative_incidence(name):
    for (alpha,), own in lives(name).group_by("alpha"):
        times = sorted({*TIMES, *own["duration"]})
        curve = estimate_survival(own, times)[0].filter(pl.col("t").is_in(TIMES))
        assert curve["survival"].to_list() == pytest.approx(answers(name, "survival", alpha=alpha), abs=1e-6)
        shares = incidence(own, TIMES, 0.95)
        assert shares["incidence"].to_list() == pytest.approx(answers(name, "died", alpha=alpha), abs=1e-6)
        assert shares["ended"].to_list() == pytest.approx(answers(name, "ended", alpha=alpha), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_logrank(name):
    low, high = sorted(COHORTS.filter(cohort=name)["alpha"].unique())[:2]
    assert compare(lives(name, low), lives(name, high))["chi2"] == pytest.approx(*answers(name, "logrank"), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_cox(name):
    own = lives(name)
    frame = pd.DataFrame(own.select("duration", "died", x=pl.col("alpha").log(1.1)).to_dict(as_series=False))
    fit = CoxPHFitter().fit(frame, "duration", "died", fit_options=EXACT)
    assert fit.params_["x"] == pytest.approx(*answers(name, "cox"), abs=1e-6)
    assert fit.standard_errors_["x"] == pytest.approx(*answers(name, "cox_se"), abs=1e-6)


@pytest.mark.parametrize("error", ["weibull", "loglogistic"])
@pytest.mark.parametrize("name", NAMES)
def test_aft(name, error):
    own = lives(name)
    until = own["until"].fill_null(np.inf).to_numpy() + 1
    data = Intervals(
        own["after"].to_numpy() + 1.0,
        until,
        np.log(own["alpha"].to_numpy())[:, None] / np.log(1.1),
        np.ones(own.height),
    )
    fit = fit_aft(data, {"weibull": "Weibull AFT", "loglogistic": "log-logistic AFT"}[error])
    assert fit.beta[0] == pytest.approx(*answers(name, f"aft_{error}"), rel=1e-5)
    assert fit.loglik == pytest.approx(*answers(name, f"aft_{error}_loglik"), abs=1e-6)


@pytest.mark.skipif(not shutil.which("Rscript"), reason="R is not installed (Debian: r-base-core, r-cran-survival)")
def test_the_answers_are_those_that_r_gives():
    call = ["Rscript", str(FOLDER / "survival.R"), str(FOLDER / "cohorts.csv")]
    text = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    again = pl.read_csv(text.encode())
    assert again.drop("value").equals(ANSWERS.drop("value"))
    assert again["value"].to_list() == pytest.approx(ANSWERS["value"].to_list(), rel=1e-7)
