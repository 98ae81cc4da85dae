"""Tables that pass from rule to rule, in the order of the rules; those before the steerings are in `made`."""

from dataclasses import replace

from steerdose.declarations.ablations import ANGLES, SCREEN_SCORES, SCREENED_PARTS
from steerdose.declarations.base import Table, columns
from steerdose.declarations.dose import AUDIT_TOKENS, CALIBRATION, DOSES, SEARCH
from steerdose.declarations.made import PAIRS, STUDY, TRAINING
from steerdose.declarations.relevance import REFERENCE_RELEVANCE, RELEVANCE
from steerdose.declarations.shared import (
    COHORT,
    ENDPOINT,
    FORK,
    KEYS,
    METHOD,
    MODEL,
    PROMPT,
    SHARES,
    SUMMARY,
    SWEEP,
    TEXT_MEASURES,
)
from steerdose.declarations.subspaces import SUBSPACE_BASES, SUBSPACE_PROMPTS, SUBSPACE_SCORES, SUBSPACE_SUMMARY

KEY = columns("key | text | | a digest of all that the row depends on")

AUDIT_FORKS = Table(
    "audit_forks",
    rule="audit_probe",
    path="results/{model}/probe/{probes}.forks.parquet",
    row="a question, probe and fork of the unsteered model",
    columns=(
        *MODEL,
        *KEYS[len(METHOD) :],
        *FORK,
    ),
)
TOKENS = Table(
    "tokens",
    rule="gather_rollouts",
    path=f"{STUDY}/rollouts/{{method}}.tokens.parquet",
    row="a generated token of a trajectory",
    columns=(
        *KEYS,
        *columns("""
        t | integer | tokens | place in the text, from 1
        token_id | integer | | in the tokenizer's vocabulary
        kl | number | nats | of the steered next-token distribution against the unsteered one, before the token
        nll | number | nats | of the token under the unsteered model
        entropy | number | nats | of the steered next-token distribution
        """),
    ),
)
TRAJECTORIES = Table(
    "trajectories",
    rule="gather_rollouts",
    path=f"{STUDY}/rollouts/{{method}}.trajectories.parquet",
    row="a trajectory: one question at one dose",
    columns=(
        *KEYS,
        *columns("""
        n_tokens | integer | tokens | generated, without the end of turn
        ended | boolean | | whether the model ended its turn before the window
        text | text | | what it wrote
        """),
    ),
)
KEYED_TRAJECTORIES = replace(
    TRAJECTORIES,
    name="keyed_trajectories",
    rule="rollout_trajectories",
    path=f"{STUDY}/rollouts/jobs/{{job}}.{{part}}.trajectories.parquet",
    row="a trajectory of one of a job's methods",
    columns=(*TRAJECTORIES.columns, *KEY),
)
_SCORE = columns("""
    item | text | | id of what was scored
    cluster | text | | of items that belong together; else the item itself
    form | text | | in which the item was asked; of texts the register; empty where there is one alone
    label | integer | | 1: the first answer shows the behavior, -1: the second does; null: no answers
    metric | text | | what was measured of it; each kind of task has its own
    value | number | | of the metric; null where steered logits overflowed, or what was written is broken
""")
SCORES = Table(
    "scores",
    rule="gather_scores",
    path=f"{STUDY}/scores/{{method}}.{{task}}.parquet",
    row="a metric of one item, in one form, at one dose",
    columns=(
        *COHORT,
        *columns("task | text | | a key of tasks"),
        *_SCORE,
    ),
)
KEYED_SCORES = replace(
    SCORES,
    name="keyed_scores",
    rule="score_task",
    path=f"{STUDY}/scores/jobs/{{job}}.{{task}}.{{part}}.parquet",
    row="a metric of one item, in one form, at one dose of one of a job's methods",
    columns=(*COHORT, *_SCORE, *KEY),
)
WRITTEN_TOKENS = replace(
    TOKENS,
    name="written_tokens",
    rule="write_texts",
    path=f"{STUDY}/written/jobs/{{job}}.{{task}}.{{part}}.tokens.parquet",
    row="a token of a text of a task that writes, of one of a job's methods",
)
WRITTEN = replace(
    KEYED_TRAJECTORIES,
    name="written",
    rule="write_texts",
    path=f"{STUDY}/written/jobs/{{job}}.{{task}}.{{part}}.texts.parquet",
    row="a text of a task that writes: one prompt at one dose of one of a job's methods",
)
FORKS = Table(
    "forks",
    rule="gather_rollouts",
    path=f"{STUDY}/rollouts/{{method}}.forks.parquet",
    row="a reading of a probe at a fork of a trajectory",
    columns=(*KEYS, *FORK),
)
REFERENCE_TOKENS = Table(
    "reference_tokens",
    rule="roll_reference",
    path="results/{model}/reference/tokens.parquet",
    row="a token of a text of the unsteered model",
    columns=(
        *MODEL,
        *PROMPT,
        *columns("""
        decoding | text | | greedy, or sampled at temperature 1
        sample | integer | | of the question, from 0
        t | integer | tokens | place in the text, from 1
        token_id | integer | | in the tokenizer's vocabulary
        nll | number | nats | of the token under the unsteered model
        """),
    ),
)
LIFETIME = (
    *ENDPOINT,
    *columns("""
    duration | integer | tokens | until it died, ended its turn, or reached the window
    died | boolean | | whether it broke, as the endpoint says, before it ended
    ended | boolean | | whether it ended its turn before the window, unbroken: a competing event
    recovered | boolean | | whether it was sound again after its death
    damage | text | | readout: the unsteered model still answers the probe there; text: nor does it; null: not told
    """),
)
LIFETIMES = Table(
    "lifetimes",
    rule="kaplan_meier",
    path=f"{STUDY}/survival/{{method}}.lifetimes.parquet",
    row="a trajectory, by each endpoint that is defined for it, the deciding one first",
    columns=(*KEYS, *LIFETIME),
)
PREVALENCE = Table(
    "prevalence",
    rule="kaplan_meier",
    path=f"{STUDY}/survival/{{method}}.prevalence.parquet",
    row="a method, dose and endpoint at a fork",
    columns=(
        *COHORT,
        *ENDPOINT,
        *columns("""
        t | integer | tokens | of the fork
        n | integer | trajectories | that were still writing
        broken | integer | trajectories | of these that were broken then, whatever they were before or after
        """),
    ),
)
CURVE = Table(
    "curve",
    rule="kaplan_meier",
    path=f"{STUDY}/survival/{{method}}.curve.parquet",
    row="a method, dose and endpoint at one of its times",
    columns=(
        *COHORT,
        *ENDPOINT,
        *columns("""
        t | integer | tokens | a fork, or a time of death
        at_risk | integer | trajectories | alive and observed just before
        events | integer | trajectories | that died here
        censored | integer | trajectories | that ended alive from here on and before the next fork
        survival | number | share | Kaplan-Meier estimate
        ci_low | number | share | lower confidence bound
        ci_high | number | share | upper confidence bound
        turnbull_low | number | share | the least that is compatible with deaths between the forks
        turnbull_high | number | share | the most that is compatible with deaths between the forks
        incidence | number | share | of all trajectories that have died by then (Aalen-Johansen)
        incidence_low | number | share | lower confidence bound
        incidence_high | number | share | upper confidence bound
        ended | number | share | of all trajectories that have ended their turn by then, unbroken
        """),
    ),
)
SUMMARIES = Table(
    "summary",
    rule="kaplan_meier",
    path=f"{STUDY}/survival/{{method}}.summary.parquet",
    row="a method, dose and endpoint",
    columns=SUMMARY,
)
RATIOS = columns("""
    peak | number | ratio | largest KL since the fork before, over the p95 of the trajectory's own first tokens
    level | number | ratio | median KL since the fork before, over the same p95
""")
PREFIXES = Table(
    "prefixes",
    rule="measure_prefixes",
    path=f"{STUDY}/deaths/{{method}}.prefixes.parquet",
    row="a trajectory up to a fork",
    columns=(
        *KEYS,
        *columns("t | integer | tokens | of the fork"),
        *TEXT_MEASURES,
        *columns("kl | number | nats | the calibration's statistic of the KL up to the fork"),
        *RATIOS,
    ),
)
TEXTS_OF_METHOD = Table(
    "texts_of_method",
    rule="measure_prefixes",
    path=f"{STUDY}/deaths/{{method}}.texts.parquet",
    row="a trajectory, its whole text",
    columns=(
        *KEYS,
        *columns("""
        n_tokens | integer | tokens | generated
        ended | boolean | | whether the model ended its turn before the window
        """),
        *TEXT_MEASURES,
    ),
)
DEATH_HISTORIES = Table(
    "death_histories",
    rule="tabulate_deaths",
    path="results/tables/deaths.parquet",
    row="a trajectory, with the KL before its death",
    columns=(
        *KEYS,
        *LIFETIME,
        *RATIOS,
        *columns("""
        survivors | integer | trajectories | read alive at the same fork, with which the death is compared
        scope | text | | whose these are, the nearest that are enough: of the dose, the method or the cell
        p_peak | number | probability | of a peak this high among the survivors
        p_level | number | probability | of a level this high among the survivors
        kl | number | nats | the calibration's statistic of the KL up to the death, or to the last fork
        history | text | | at once, spike, sustained, neither or unclear; null: alive
        """),
    ),
)
DOSE_SHARES = Table(
    "dose_shares",
    rule="tabulate_dose_response",
    path="results/tables/dose_shares.parquet",
    row="a method and dose",
    columns=SHARES,
)
THRESHOLD_SHARES = Table(
    "threshold_shares",
    rule="tabulate_threshold_sweep",
    path="results/tables/threshold_shares.parquet",
    row="a method and dose at a threshold of death",
    columns=(*SWEEP, *SHARES),
)
PASSED = (
    PAIRS, TRAINING, SEARCH, DOSES, AUDIT_TOKENS, CALIBRATION, AUDIT_FORKS, REFERENCE_TOKENS, REFERENCE_RELEVANCE,
    TOKENS, KEYED_TRAJECTORIES, TRAJECTORIES, FORKS, KEYED_SCORES, SCORES, WRITTEN_TOKENS, WRITTEN,
    SCREENED_PARTS, SCREEN_SCORES, ANGLES, SUBSPACE_BASES, SUBSPACE_SCORES, SUBSPACE_SUMMARY,
    SUBSPACE_PROMPTS, RELEVANCE, LIFETIMES, PREVALENCE, CURVE,
    SUMMARIES, PREFIXES, TEXTS_OF_METHOD, DEATH_HISTORIES, DOSE_SHARES, THRESHOLD_SHARES,
)  # fmt: skip
