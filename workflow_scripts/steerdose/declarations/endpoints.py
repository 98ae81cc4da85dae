"""Tables of endpoints that a study ends in."""

from dataclasses import replace

from steerdose.declarations.base import Table, columns
from steerdose.declarations.shared import ENDPOINT, METHOD, SIGN, N
from steerdose.declarations.survival import DOSE_RESPONSE

_NAMES = (*METHOD, *SIGN)
ENDPOINT_DOSES = replace(
    DOSE_RESPONSE,
    name="endpoints",
    rule="tabulate_endpoints",
    path="results/tables/endpoints",
    title="Doses by endpoint",
    row="a method, sign and endpoint",
    reading="How much the lethal and the safe dose hang on what is called a death. The rows of one method are the same "
    "trajectories, judged by each endpoint; the first endpoint decides in all other tables. Where the order of methods "
    "changes from one endpoint to another, no order is a property of the methods alone.",
    columns=(*DOSE_RESPONSE.columns, *ENDPOINT),
    shown=(*_NAMES, *ENDPOINT, *DOSE_RESPONSE.shown[len(_NAMES) :]),
)
AGREEMENT = Table(
    "agreement",
    rule="tabulate_endpoints",
    path="results/tables/agreement",
    title="Agreement of endpoints",
    row="two endpoints, over the steered trajectories of a method, or of all methods of a cell",
    reading="Do two endpoints call the same trajectories dead? A kappa near 0 means that they see different things, so "
    "one cannot stand in for the other. The last columns say which comes first where both occur: a death by a probe is "
    "seen at a fork, one by text or KL at any token. Trajectories of one prompt are not independent; the interval "
    "resamples prompts, and is too narrow where they are few.",
    columns=(
        *METHOD,
        *columns("""
        a | text | | one endpoint
        b | text | | the other
        """),
        *N,
        *columns("""
        both | integer | trajectories | dead by both
        only_a | integer | trajectories | by a alone
        only_b | integer | trajectories | by b alone
        neither | integer | trajectories | by none
        kappa | number | | Cohen's: 1 for the same verdicts, 0 for chance; empty: one never or always occurs
        kappa_low | number | | lower bound of its interval
        kappa_high | number | | upper bound
        a_first | integer | trajectories | dead by both, by a earlier
        same_time | integer | trajectories | dead by both at one token
        b_first | integer | trajectories | dead by both, by b earlier
        """),
    ),
)
