"""Tables of deaths and texts that a study ends in."""

from steerdose.declarations.base import Table, columns
from steerdose.declarations.shared import DOSE, METHOD, TEXT_MEASURES, N

DEATHS = Table(
    "deaths",
    rule="tabulate_deaths",
    path="results/tables/deaths",
    title="Deaths",
    row="a method and dose",
    reading="How trajectories died. Read at once first: these deaths have no KL before them. Then compare spike and "
    "sustained with neither, where a monitor of KL has nothing to see; p95 is that of the KL of the trajectory's own "
    "first tokens. Each of the two tests fires by chance alone at the configured significance, so a few of them among "
    "many deaths mean nothing.",
    columns=(
        *DOSE,
        *N,
        *columns("""
        died | integer | trajectories | by the probe
        readout | integer | trajectories | where the unsteered model can still answer after the same text
        text | integer | trajectories | where it cannot either
        not_read | integer | trajectories | where nobody asked it
        at_once | integer | trajectories | dead at fork 0, before any token
        spike | integer | trajectories | only the largest KL since the fork before, over its p95, is above survivors'
        sustained | integer | trajectories | the median KL since the fork before, over its p95, is above survivors'
        neither | integer | trajectories | neither is
        unclear | integer | trajectories | no tokens before, or too few survivors to tell
        median_t | number | tokens | until death
        kl_at_death | number | nats | median over the deaths of the calibration's statistic of the KL up to then
        kl_alive | number | nats | the same of those that lived, up to their last fork
        """),
    ),
)
EVENT_COUNTS = "\n".join(
    f"{name} | integer | trajectories | {meaning}"
    for name, meaning in [
        ("pmass", "dead by the probe"),
        ("rep_4", "whose share of repeated 4-grams leaves the band"),
        ("loop", "whose longest loop leaves it"),
        ("distinct_1", "whose share of distinct tokens leaves it"),
        ("distinct_2", "whose share of distinct 2-grams leaves it"),
        ("distinct_3", "whose share of distinct 3-grams leaves it"),
        ("compression", "whose compression leaves it"),
        ("kl", "whose KL so far exceeds the configured multiple of the target; empty: no target"),
    ]
)
DEATH_EVENTS = Table(
    "death_events",
    rule="tabulate_death_events",
    path="results/tables/death_events",
    title="Death events",
    row="a method and dose",
    reading="How many trajectories each way of calling them dead counts. Read the rows of alpha 0 first: they are the "
    "noise floor, and with few prompts they are all that the unsteered band can show. A text leaves the band where it "
    "is worse, at some fork, than the unsteered model's texts at the same fork by more than all but the configured "
    "share of these are themselves.",
    columns=(*DOSE, *N, *columns(EVENT_COUNTS)),
)
DEATH_AGREEMENT = Table(
    "death_agreement",
    rule="tabulate_death_events",
    path="results/tables/death_agreement",
    title="Agreement of death events",
    row="two ways of calling a trajectory dead, over the steered trajectories of a method, or of all methods of a cell",
    reading="Do two ways of calling a trajectory dead agree? A kappa near 0 means that they see different things, so "
    "one cannot stand in for the other. The last columns say which comes first where both occur; text and KL are empty "
    "at fork 0, so a death there is always first. Trajectories of one prompt are not independent; the interval "
    "resamples prompts, and is too narrow where they are few.",
    columns=(
        *METHOD,
        *columns("""
        a | text | | one event, a column of death_events
        b | text | | the other
        """),
        *N,
        *columns("""
        both | integer | trajectories | with both events
        only_a | integer | trajectories | with a alone
        only_b | integer | trajectories | with b alone
        neither | integer | trajectories | with none
        kappa | number | | Cohen's: 1 for the same verdicts, 0 for chance; empty: one never or always occurs
        kappa_low | number | | lower bound of its interval
        kappa_high | number | | upper bound
        a_first | integer | trajectories | with both, a earlier
        same_fork | integer | trajectories | with both at one fork
        b_first | integer | trajectories | with both, b earlier
        """),
    ),
)
TEXTS = Table(
    "texts",
    rule="tabulate_texts",
    path="results/tables/texts",
    title="Texts",
    row="a method and dose",
    reading="What became of the texts, whoever died: medians over prompts, of whole texts. Compare every row with that "
    "of alpha 0, the unsteered model: repetition, loops and compression go up in a degenerate text, distinct n-grams "
    "go down. All depend on length, which is the first column.",
    columns=(
        *DOSE,
        *N,
        *columns("""
        tokens | number | tokens | length
        ended | number | share | that ended by itself
        """),
        *TEXT_MEASURES,
    ),
)
