"""Tables of deaths and texts that a study ends in."""

from steerdose.declarations.base import Table, columns
from steerdose.declarations.shared import DOSE, ENDPOINT, TEXT_MEASURES, N

DEATHS = Table(
    "deaths",
    rule="tabulate_deaths",
    path="results/tables/deaths",
    title="Deaths",
    row="a method and dose",
    reading="What the KL did before a trajectory broke, by each endpoint. Read at once first: these deaths have no KL "
    "before them. Then compare spike and sustained with neither, where a monitor of KL has nothing to see; p95 is that "
    "of the KL of the trajectory's own first tokens. Each of the two tests fires by chance alone at the configured "
    "significance, so a few of them among many deaths mean nothing. Readout and text are told only of endpoints that "
    "read a probe, and only where garbage moves that probe.",
    columns=(
        *DOSE,
        *ENDPOINT,
        *N,
        *columns("""
        died | integer | trajectories | that broke, as the endpoint says
        readout | integer | trajectories | where the unsteered model still answers the probe after the same text
        text | integer | trajectories | where it does not either
        not_told | integer | trajectories | where nothing tells
        at_once | integer | trajectories | broken before the first fork with tokens
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
