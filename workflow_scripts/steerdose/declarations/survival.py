"""Tables of survival and dose that a study ends in."""

from steerdose.declarations.base import Table, columns
from steerdose.declarations.shared import CELL, DOSE, LETHAL, METHOD, NOTE, SAFE, SIGN, SUMMARY, SWEEP

SURVIVAL = Table(
    "survival",
    rule="tabulate_survival",
    path="results/tables/survival",
    title="Survival",
    row="a method, alpha and endpoint",
    reading="What became of the trajectories, by each endpoint; the first one decides in all other tables. First "
    "compare n and died. Then read dead, the share of all that broke by the window, with its interval; those that "
    "ended their turn could not break any more. S(end) is what Kaplan and Meier's estimate says would be unbroken if "
    "nobody ended. Recovered counts deaths that were not final. With few trajectories the estimates are rough: read "
    "the intervals. Not reached means that fewer than half broke within the window.",
    columns=SUMMARY,
    shown=(
        *DOSE,
        *SUMMARY[6:12],
        *columns("""
        dead | text | share | dead by the window, with its confidence interval
        S(mid) | text | share | Kaplan-Meier share unbroken at half the window
        S(end) | text | share | the same at the window
        median t | text | tokens | until half are broken, with its confidence interval
        mean t | text | tokens | until a trajectory breaks, the window if it does not, with its interval
        """),
    ),
)
LOGRANK = Table(
    "logrank",
    rule="tabulate_logrank",
    path="results/tables/logrank",
    title="Log-rank tests",
    row="a comparison of two groups of trajectories, a and b",
    reading="Do two groups of trajectories break equally fast? Read the deaths first (died a, "
    "died b), then excess b: above 0, b dies faster. Then p paired holm, which respects that both groups answer the "
    "same prompts and that many tests are made. The log-rank test itself (chi2, p) takes all trajectories as "
    "independent. p paired says how often an excess as large arises when the two outcomes of each prompt are swapped "
    "at random; it holds for few prompts and few deaths too, and cannot fall below 2 / 2^pairs. A p that is not small"
    " is no proof that two groups are alike. Where no test is possible the fields are empty and the note says why: "
    "nobody died, or no fork tells the groups apart, since at every death all died or one group had nobody left. "
    "Under 5 deaths the chi-squared distribution of the log-rank test is a poor approximation.",
    columns=(
        *CELL,
        *columns("""
        comparison | text | | unsteered: a dose against alpha 0; neighbours: and the next larger; else a set of methods
        method_a | text | | the one group's method
        alpha_a | number | dose | the one group's alpha
        method_b | text | | the other's method
        alpha_b | number | dose | the other's alpha
        n_a | integer | trajectories | of a
        died_a | integer | trajectories | of a that died
        n_b | integer | trajectories | of b
        died_b | integer | trajectories | of b that died
        excess_b | number | trajectories | deaths in b beyond those expected if a and b were alike
        chi2 | number | | of the log-rank test, 1 degree of freedom
        p | number | probability | of the log-rank test
        p_holm | number | probability | the same, corrected (Holm) for all tests of one comparison in a cell
        pairs | integer | prompts | with different outcomes in a and b
        p_paired | number | probability | of an excess as large when the outcomes of each prompt are swapped at random
        p_paired_holm | number | probability | the same, corrected like p holm
        """),
        *NOTE,
    ),
)
HAZARDS = Table(
    "hazards",
    rule="tabulate_hazards",
    path="results/tables/hazards",
    title="Hazards",
    row="a term of a model of the death rate, one sign at a time",
    reading="How much faster a stronger dose kills, over the doses other than 0; a prompt has no dose and is left "
    "out. Read a method's own row first: dose 10 % higher with its interval. A hazard ratio above 1 or a time ratio "
    "below 1 means that more dose kills sooner. Then the rows of all, where methods are compared at one alpha: one "
    "effect of the dose and a factor for each method. Where most trajectories live to the window or die at the first "
    "forks, a time ratio speaks of lifetimes far outside the window: trust its direction, not its size. Cox allows "
    "for prompts that recur at every dose; AFT takes all trajectories as independent, but knows that a death seen at "
    "a fork came somewhere since the one before. Of Weibull and log-logistic AFT the one with the lower AIC is shown."
    " An empty row is a result, not a failure: the data do not bound the ratio, see the note; complete separation: "
    "deaths and survivors share too few doses or methods for a finite ratio to fit best.",
    columns=(
        *CELL,
        *SIGN,
        *columns("""
        methods | text | | the one whose trajectories are fitted, or all
        fit | text | | Cox: proportional hazards; AFT: accelerated failure time, with its distribution
        term | text | | what the ratio is for
        ratio | text | | hazard: factor on the death rate at any moment; time: factor on every lifetime
        estimate | number | ratio | the estimate
        low | number | ratio | its lower confidence bound; empty: open
        high | number | ratio | its upper confidence bound; empty: open
        p | number | probability | of a ratio of 1; not corrected for the number of rows
        aic | number | | Akaike's criterion of an AFT fit
        n | integer | trajectories | fitted
        died | integer | trajectories | of these that died
        """),
        *NOTE,
    ),
)
DOSE_RESPONSE = Table(
    "dose_response",
    rule="tabulate_dose_response",
    path="results/tables/dose_response",
    title="Dose and response",
    row="a method and sign",
    reading="Which dose kills, and which is safe. A dose is a multiple of the calibrated coefficient, so methods "
    "compare at equal KL; the signs are apart, and prompts have no dose. Dead: the share of all trajectories that "
    "broke by the end of the window. Intervals are of one dose each, not corrected for the number of doses and "
    "methods. Read the lethal dose (LD50) with its interval first, then the safe dose. A lethal dose of > 2 was not "
    "reached at 2, the largest dose tried; open means that no dose tried bounds it. A safe dose of none means that no"
    " dose is shown to be safe, not that none is. The note says where the prompts are too few to tell.",
    columns=(
        *METHOD,
        *SIGN,
        *columns("n_prompts | integer | prompts | at every dose"),
        *LETHAL,
        *columns("""
        ld50_low | number | dose | lower bound: the lower neighbouring dose, and the spread over prompts and calibration
        ld50_high | number | dose | upper bound
        status | text | | of the LD50: inside the doses tried, above or below them
        slope | number | | of the log-odds of death on log dose (Hill coefficient, Firth's estimate)
        """),
        *SAFE[:1],
        *columns("safe_dose_low | number | dose | the same where the error of c_star is against it"),
        *SAFE[1:],
        *columns("ld50_coefficient | number | | the LD50 as a raw coefficient"),
        *NOTE,
    ),
    shown=(
        *METHOD,
        *SIGN,
        *columns("""
        n | integer | prompts | at every dose
        LD50 | text | dose | at which half are dead, from a rising (isotonic) curve, straight in log dose
        interval | text | dose | of the LD50: the doses that it lies between, and the spread of prompts and calibration
        slope | text | | of the log-odds of death on log dose (Hill coefficient, Firth's estimate)
        safe dose | text | dose | the largest at which, and below which, survival's lower bound is above the safe level
        dead at 1 | text | share | dead by the window at dose 1
        LD50 coefficient | text | | the LD50 as a raw coefficient
        """),
        *NOTE,
    ),
)
THRESHOLD_SWEEP = Table(
    "threshold_sweep",
    rule="tabulate_threshold_sweep",
    path="results/tables/threshold_sweep",
    title="Threshold sweep",
    row="a method and sign at a threshold of death; in html a column a threshold",
    reading="How much the lethal dose hangs on the threshold of death. Read the last rows of a cell first: unsteered,"
    " the share of unsteered trajectories that a threshold counts as dead, is the noise floor and should be 0; where "
    "it is not, the instrument fails, not the model. Kendall's tau is 1 where the order of the methods is that of the"
    " set threshold, and empty where all are tied. An entry > 2 was not reached at 2, the largest dose tried.",
    columns=(
        *SWEEP,
        *METHOD,
        *SIGN,
        *columns("n_prompts | integer | prompts | at every dose"),
        *LETHAL,
        *columns("""
        bracket_low | number | dose | the next dose that kills fewer than half
        bracket_high | number | dose | the next dose that kills more than half
        """),
        *SAFE,
        *columns("""
        status | text | | of the LD50: inside the doses tried, above or below them
        unsteered_dead | number | share | of unsteered trajectories that the threshold counts as dead
        rank | integer | | of the LD50 among the methods of cell and sign; 1 bears the largest dose, ties share it
        tau | number | | Kendall's tau-b with the order at the set threshold; null where all are tied
        """),
    ),
    shown=(
        *METHOD,
        *SIGN,
        *columns("""
        {threshold} | text | dose | LD50 at this threshold, counted as survival.threshold is, (set) by default
        """),
    ),
)
