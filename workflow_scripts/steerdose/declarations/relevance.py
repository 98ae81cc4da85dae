"""Tables of whether texts are about their question."""

from steerdose.declarations.base import Table, columns
from steerdose.declarations.made import STUDY
from steerdose.declarations.shared import DOSE, KEYS, MODEL, PROMPT, N

_GAIN = columns("""
    n_tokens | integer | tokens | of its beginning that were read
    gain | number | nats a token | NLL behind other questions minus NLL behind its own, under the unsteered model
""")
RELEVANCE = Table(
    "relevance_gains",
    rule="score_relevance",
    path=f"{STUDY}/relevance/{{method}}.parquet",
    row="a trajectory that has a token",
    columns=(*KEYS, *_GAIN),
)
REFERENCE_RELEVANCE = Table(
    "reference_relevance",
    rule="score_reference",
    path="results/{model}/reference/relevance.parquet",
    row="a text of the unsteered model",
    columns=(
        *MODEL,
        *PROMPT,
        *columns("""
        decoding | text | | greedy, or sampled at temperature 1
        sample | integer | | of the question, from 0
        """),
        *_GAIN,
    ),
)
IRRELEVANCE = Table(
    "relevance",
    rule="tabulate_relevance",
    path="results/tables/relevance",
    title="Relevance",
    row="a method and dose",
    reading="Is the text still about its question? Irrelevant is a text whose beginning the question makes hardly more "
    "likely, less than the limit, under which at most relevance.size of the unsteered model's own texts are. It may be "
    "fluent. Read it beside the share that breaks: a text about nothing is lost too, and a method may do either first. "
    "The row at alpha 0 is the noise of the verdict.",
    columns=(
        *DOSE,
        *N,
        *columns("""
        irrelevant | number | share | of texts with a gain below the limit
        irrelevant_low | number | share | lower confidence bound, texts of one prompt clustered
        irrelevant_high | number | share | upper bound
        gain | number | nats a token | median over the texts
        limit | number | nats a token | of the gain, from the reference cohort
        """),
    ),
)
ANSWERS = Table(
    "answers",
    rule="tabulate_answers",
    path="results/tables/answers",
    title="Answers",
    row="a method, dose and rolled-out probe, over all forks of its trajectories",
    reading="What the steered model answers where it is asked in the middle of its text. Answered says that it gives "
    "an answer, right that it prefers the right one, which means something only where the interval of alpha 0 is above "
    "one half: a probe that the unsteered model guesses on shows fluency and no more.",
    columns=(
        *DOSE,
        *N,
        *columns("""
        probe | text | | a key of probes
        answered | number | share | of forks whose most likely next token is an answer
        pmass | number | probability | median mass on the two answers
        right | number | share | of forks that prefer the right answer
        right_low | number | share | lower confidence bound, forks of one prompt clustered
        right_high | number | share | upper bound
        """),
    ),
)
