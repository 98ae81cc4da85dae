"""Tables of the parts of trained deltas."""

from steerdose.declarations.base import Table, columns
from steerdose.declarations.shared import CELL, METHOD, NOTE

_PART = columns("""
    way | text | | in which the delta was cut, see kind parts; whole: as it is
    part | text | | its name
    side | text | | keep: the part alone; drop: the whole delta without it; rest: all that writes, without it
    at | text | | coefficient: the whole's; norm: as long as the whole; kl: with its KL; energy..: shortened
""")
_TOLD = columns("""
    tensors | integer | modules | that the part changes
    energy | number | share | squared norm of the part over the whole's
    error | number | share | norm of what keep and drop together miss, over the whole's
    coefficient | number | | at which it was read
    kl | number | nats | mean over the screen's tokens
""")
SCREENED_PARTS = Table(
    "screened_parts",
    rule="screen_parts",
    path="results/{model}/{behavior}/seed{seed}/ablations/{method}.{group}.parts.parquet",
    row="a part, side, and what it was matched in",
    columns=(*METHOD, *_PART, *_TOLD, *NOTE),
)
SCREEN_SCORES = Table(
    "screen_scores",
    rule="screen_parts",
    path="results/{model}/{behavior}/seed{seed}/ablations/{method}.{group}.scores.parquet",
    row="a metric of one item in one form, under one part",
    columns=(
        *METHOD,
        *_PART,
        *columns("""
        task | text | | a key of tasks
        item | text | | id
        cluster | text | | of items that belong together
        form | text | | in which it was asked, or its register
        label | integer | | 1 or -1: which answer shows the behavior; null: none does
        metric | text | | what was found
        value | number | as metric | null: logits overflowed
        """),
    ),
)
ANGLES = Table(
    "angles",
    rule="share_bases",
    path="results/{model}/{behavior}/seed{seed}/ablations/angles.parquet",
    row="a layer, a pair of methods and a number of directions",
    columns=(
        *CELL,
        *columns("""
        layer | integer | | number of the block, from 0
        method | text | | whose leading residual directions
        against | text | | another's, or its own
        width | integer | directions | that are compared
        overlap | number | share | mean squared cosine of the principal angles
        chance | number | share | of random directions: width over the residual stream's
        smallest | number | degrees | principal angle
        largest | number | degrees | principal angle
        """),
    ),
)
_INTERVALS = columns("""
    effect | number | as measure | change against the unsteered model, on the items of the screen
    effect_low | number | as measure | lower bound, over resampled items (and seeds)
    effect_high | number | as measure | upper bound
    p | number | probability | of no effect
    q | number | probability | the same, corrected over all parts of a method at one matching
    retained | number | share | effect over the whole's; null: the whole's cannot be told from 0
    retained_low | number | share | lower bound
    retained_high | number | share | upper bound
    sure_low | number | share | lower bound of retained that holds for all parts of a way and side at once
    sure_high | number | share | upper bound
    within | number | share | of a subspace of what writes to the residual stream: effect over that of all that writes
    within_low | number | share | lower bound that holds for all widths of a way and side at once
    within_high | number | share | upper bound
    removed | number | share | 1 - retained, where the part was left out
    removed_low | number | share | lower bound
    removed_high | number | share | upper bound
    nll | number | nats | rise on the unsteered model's own answers: the damage
    nll_low | number | nats | lower bound
    nll_high | number | nats | upper bound
""")
ABLATIONS = Table(
    "ablations",
    rule="tabulate_ablations",
    path="results/tables/ablations",
    title="Ablations",
    row="a part, side, and what it was matched in",
    reading="Which part of a trained delta is enough, and which is necessary? A part alone (keep) is enough if it "
    "retains the whole's effect; it is necessary if the whole without it (drop) does not. Read first at the whole's "
    "coefficient; then at its norm and at its KL on the same texts, where short parts are given as much push: a part "
    "that needs it is weak, and one that stays behind all the same is the wrong one. Beside it stand random deltas of "
    "the same norms. energy is what the part is of the delta: retained near energy is no finding. A part with the "
    "effect and a high nll has it by breaking the model. Rows without a seed are over all seeds.",
    columns=(
        *METHOD,
        *columns("seeds | integer | | that the row is over"),
        *_PART,
        *_TOLD,
        *columns("n | integer | clusters | of items that are compared"),
        *_INTERVALS,
        *NOTE,
    ),
)
ABLATION_CLAIMS = Table(
    "ablation_claims",
    rule="tabulate_ablation_claims",
    path="results/tables/ablation_claims",
    title="Where the effect is",
    row="a question about one method's delta",
    reading="By rules that were set beforehand. Enough is what alone keeps 70 % of the effect, necessary that without "
    "which 30 % at most are left, by bounds that hold for all parts of a way at once. Localised: one part is enough "
    "and necessary. Non-identifiable: it is there more than once. Distributed: no part is enough and none necessary. "
    "All at the whole's coefficient; one seed alone makes no claim.",
    columns=columns("""
        model | text | | a key of models
        behavior | text | | a key of behaviors
        method | text | | whose delta, or whose parts
        seeds | integer | | that are pooled
        question | text | | what is asked of it
        verdict | text | | what the rule says
        sentence | text | | with its numbers
    """),
)
