"""Tables of the search for a dose, and of its audit."""

from dataclasses import replace

from steerdose.declarations.base import Table, columns
from steerdose.declarations.made import STUDY
from steerdose.declarations.shared import COEFFICIENT, METHOD, PROMPT, SIGN, STATISTICS

CALIBRATION = Table(
    "calibration",
    rule="gather_calibration",
    path=f"{STUDY}/calibration/{{method}}.parquet",
    row="an evaluation: one sign at one coefficient, on all prompts of a split",
    columns=(
        *METHOD,
        *COEFFICIENT,
        *columns("""
        sign | text | | positive or negative, the dose's
        split | text | | search: the first prompts; calibration: all that set the dose; audit: others
        step | integer | | of the split, from 1
        """),
        *STATISTICS,
        *columns("""
        n_tokens | integer | tokens | over which the statistics are
        target | number | nats | of the configured statistic; null for a prompt, which has no dose
        """),
    ),
)
SEARCH = replace(
    CALIBRATION,
    name="search",
    rule="calibrate_alpha",
    path=f"{STUDY}/calibration/jobs/{{job}}.search.parquet",
    row="an evaluation of a dose of one of a job's methods: one sign at one coefficient, on the prompts of a split",
)
AUDIT_TOKENS = Table(
    "audit_tokens",
    rule="audit_dose",
    path=f"{STUDY}/calibration/jobs/{{job}}.audit{{part}}.parquet",
    row="a token of a rollout at dose 1 on a held-out prompt; one row without token where the dose was too strong",
    columns=(
        *METHOD,
        *COEFFICIENT,
        *PROMPT,
        *columns("""
        sign | text | | positive or negative, the dose's
        t | integer | tokens | place in the text, from 1
        kl | number | nats | as of tokens
        """),
    ),
)
DOSES = Table(
    "doses",
    rule="calibrate_alpha",
    path=f"{STUDY}/calibration/jobs/{{job}}.doses.parquet",
    row="a sign of one of a job's methods that have a dose",
    columns=(
        *METHOD,
        *SIGN,
        *columns("""
        c_star | number | | coefficient of dose 1, without sign
        c_star_low | number | | lower 95 % bound, over resampled calibration prompts; null: not known
        c_star_high | number | | upper bound
        relative_dose | number | ratio | norm of the change over norm of the residual stream, behind the last edit
        """),
    ),
)
