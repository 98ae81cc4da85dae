"""Columns that several tables share, each with one meaning."""

from steerdose.declarations.base import columns

MODEL = columns("model | text | | a key of models")
CELL = (
    *MODEL,
    *columns("""
    behavior | text | | a key of data.personas
    seed | integer | | of all that is drawn
    """),
)
METHOD = (*CELL, *columns("method | text | | a key of methods, or a member of one of kind parts"))
ALPHA = columns("alpha | number | dose | multiple of the calibrated coefficient; 1 and -1 are a prompt's two texts")
COEFFICIENT = columns("coefficient | number | | that scales the steering; null for a prompt, but 0 at alpha 0")
PROMPT = columns("prompt_id | text | | of the question or prompt")
DOSE = (*METHOD, *ALPHA)
COHORT = (*DOSE, *COEFFICIENT)
SAMPLE = columns("sample | integer | | of the prompt, from 0; greedy texts are sample 0")
KEYS = (*COHORT, *PROMPT, *SAMPLE)
SIGN = columns("sign | text | | positive or negative, of alpha; 0 counts as positive")
ENDPOINT = columns("endpoint | text | | a key of endpoints: what counts as death")
N = columns("n | integer | trajectories | how many there are")
NOTE = columns("note | text | | what limits the numbers of the row; empty: nothing does")
STATISTICS = columns("""
    mean | number | nats | of the KL over all tokens
    p50 | number | nats | median
    rmse | number | nats | root of the mean square
    p90 | number | nats | 90th percentile
    p95 | number | nats | 95th percentile
    p99 | number | nats | 99th percentile
    max | number | nats | the largest
""")
TEXT_MEASURES = columns("""
    rep_4 | number | share | of 4-grams that are repeated
    loop | number | tokens | of the longest stretch that repeats one phrase
    distinct_1 | number | share | distinct tokens over all tokens
    distinct_2 | number | share | distinct 2-grams over all 2-grams
    distinct_3 | number | share | distinct 3-grams over all 3-grams
    compression | number | ratio | bytes over compressed bytes of the token ids; grows with length
""")
FORK = columns("""
    probe | text | | a key of probes
    reading | text | | who reads it behind the text: steered, or unsteered
    t | integer | tokens | generated before the fork
    pmass | number | probability | next-token mass on the probe's two answers
    p_first | number | probability | of the first answer, given one of the two
    argmax | text | | the most likely next token
    is_answer | boolean | | whether it is one of the two answers
""")
LETHAL = columns("""
    dose_min | number | dose | the smallest tried
    dose_max | number | dose | the largest tried
    ld50 | number | dose | at which half are dead, from a rising (isotonic) curve, straight in log dose; null: outside
""")
SAFE = columns("""
    safe_dose | number | dose | the largest at which, and below which, survival's lower bound is above the safe level
    dead_at_1 | number | share | dead by the window at dose 1
""")
SHARES = (
    *COHORT,
    *N,
    *columns("""
    dead | number | share | dead by the window, of all: those that ended their turn cannot die any more
    dead_low | number | share | lower confidence bound
    dead_high | number | share | upper confidence bound
    dead_km | number | share | 1 - S(window): as if nobody had ended
    """),
    *SIGN,
    *columns("""
    dose | number | dose | |alpha|
    fitted | number | share | rising (isotonic) fit of dead on dose within a sign; null at alpha 0 and of a prompt
    """),
)
SWEEP = columns("""
    value | number | as survival.threshold | threshold of death
    configured | boolean | | whether it is the one that all other tables use
""")
SUMMARY = (
    *COHORT,
    *ENDPOINT,
    *N,
    *columns("""
    died | integer | trajectories | that broke, as the endpoint says
    ended | integer | trajectories | that ended their turn before the window, unbroken
    censored | integer | trajectories | that were still writing, unbroken, at the window
    recovered | integer | trajectories | of the dead that were sound again later
    incidence | number | share | dead by the window; those that ended their turn cannot die any more (Aalen-Johansen)
    incidence_low | number | share | lower confidence bound
    incidence_high | number | share | upper confidence bound
    s_mid | number | share | Kaplan-Meier share unbroken at half the window, as if nobody ended its turn
    s_end | number | share | the same at the window
    median_t | integer | tokens | until half are broken; null: not reached
    median_low | integer | tokens | lower confidence bound of the median
    median_high | integer | tokens | upper confidence bound of the median
    rmst | number | tokens | mean until a trajectory breaks, the window if it does not (restricted mean)
    rmst_se | number | tokens | its standard error; null: no spread
    rmst_low | number | tokens | lower confidence bound of the restricted mean
    rmst_high | number | tokens | upper confidence bound of the restricted mean
    """),
)
