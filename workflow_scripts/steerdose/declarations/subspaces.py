"""Tables of directions that can be named before training."""

from steerdose.declarations.ablations import ABLATION_CLAIMS, ABLATIONS
from steerdose.declarations.base import Table, columns
from steerdose.declarations.shared import CELL, METHOD

FOLDER = "results/{model}/{behavior}/seed{seed}/subspaces"
_NAMED = columns("""
    subspace | text | | the hypothesis: a function of steerdose/subspaces
    family | text | | of what it is made
    axis | text | | write, read or mixed: which kind of directions
""")
_RECOVERED = columns("""
    recovery | number | over chance | share of the label in the basis, times width of the stream over width: R
    best | number | over chance | R of the best basis of that width, made of the label itself
    excess | number | share | (R - 1) / (best - 1): 0 is chance, 1 all that can be had
    chance_sd | number | over chance | exact standard deviation of R over random bases
""")
_TARGET = columns("""
    target | text | | stream: change at the last token; step: by the block; specific: not in clean directions
    width | integer | directions | of the basis
""")
SUBSPACE_BASES = Table(
    "subspace_bases",
    rule="build_subspaces",
    path=f"{FOLDER}/bases.parquet",
    row="a hypothesis and a block",
    columns=(
        *CELL,
        *_NAMED,
        *columns("""
        scope | text | | block: one basis each; model: one for all
        block | integer | | its number, from 0
        directions | integer | | of the basis
        rank | integer | | of what it was made of, without rounding
        gap | number | ratio | of the 8th to the 9th singular value: near 1 the basis of width 8 is arbitrary
        status | text | | ok, collapsed, or not applicable and why
        """),
    ),
)
SUBSPACE_SCORES = Table(
    "subspace_scores",
    rule="sweep_subspaces",
    path=f"{FOLDER}/{{method}}.scores.parquet",
    row="a hypothesis, block, target and width",
    columns=(
        *METHOD,
        *_NAMED,
        *columns("block | integer | | its number, from 0"),
        *_TARGET,
        *_RECOVERED,
        *columns("""
        effective_dimension | number | directions | that the label has as it were: 1 over the sum of its squared shares
        cosine | number | | mean over the principal angles between the basis and the best one
        width_left | integer | directions | of target specific: what is left of the basis beside clean directions
        status | text | | of the basis, or no label
        """),
    ),
)
SUBSPACE_SUMMARY = Table(
    "subspace_summary",
    rule="sweep_subspaces",
    path=f"{FOLDER}/{{method}}.summary.parquet",
    row="a hypothesis, target and width, the mean over the blocks that the delta edits",
    columns=(
        *METHOD,
        *_NAMED,
        *_TARGET,
        *columns("blocks | integer | | that the mean is over"),
        *_RECOVERED,
        *columns("""
        z | number | | (R - 1) over chance_sd: a unit, no probability
        p | number | probability | that a random basis recovers as much
        q | number | probability | the same, corrected over the hypotheses of one target and width
        """),
    ),
)
SUBSPACE_PROMPTS = Table(
    "subspace_prompts",
    rule="sweep_subspaces",
    path=f"{FOLDER}/{{method}}.prompts.parquet",
    row="a hypothesis, width and held-out prompt, of target stream",
    columns=(
        *METHOD,
        *columns("""
        subspace | text | | the hypothesis
        width | integer | directions | of the basis
        prompt | integer | | its number, from 0
        recovery | number | over chance | R of this prompt, the mean over blocks
        """),
    ),
)
SUBSPACES = Table(
    "subspaces",
    rule="tabulate_subspaces",
    path="results/tables/subspaces",
    title="Subspaces",
    row="a hypothesis, target and width, of one seed or the mean over seeds",
    reading="Which directions, known before training, hold what training changes? recovery is 1 for chance; best is "
    "what the best basis of that width would have, and excess how far the hypothesis comes on the way from one to the "
    "other. A small q says that it is not chance, not that it is much: read excess. Rows without a seed are over all "
    "seeds, and p and q are of single seeds alone.",
    columns=(
        *METHOD,
        *columns("seeds | integer | | that the row is over"),
        *_NAMED,
        *_TARGET,
        *columns("blocks | integer | | that the mean is over"),
        *_RECOVERED,
        *columns("""
        low | number | over chance | lower bound of recovery, over prompts (and seeds); of target stream
        high | number | over chance | upper bound
        z | number | | (R - 1) over chance_sd: a unit, no probability
        p | number | probability | that a random basis recovers as much
        q | number | probability | the same, corrected over the hypotheses of one target and width
        """),
    ),
)
SUBSPACE_PARTS = Table(
    "subspace_parts",
    rule="tabulate_subspace_parts",
    path="results/tables/subspace_parts",
    title="Parts in subspaces",
    row="a part, side, and what it was matched in",
    reading="Does the part of a delta, or of an added direction, that lies in the directions of a hypothesis do what "
    "the whole does? The part alone (keep) and the whole without it (drop), at the whole's coefficient and "
    "its KL on the same texts. written is all that is written to the residual stream; own- its own leading "
    "directions, the most that a basis of that width can hold; random- random ones, what any directions do. Rows "
    "without a seed are over all seeds.",
    columns=ABLATIONS.columns,
)
SUBSPACE_CLAIMS = Table(
    "subspace_claims",
    rule="tabulate_subspace_claims",
    path="results/tables/subspace_claims",
    title="Is it in directions known before?",
    row="a question about one method",
    reading="By rules that were set beforehand, of the mean over seeds. Held: the best hypothesis comes 70 % of the "
    "way from chance to the best directions; in part: 10 %; hardly: less, but told from chance in every seed (q < "
    "0.05); not: not even that. Predicts: over hypotheses, recovery and what the part retains have a positive rank "
    "correlation with p < 0.05. One seed alone makes no claim.",
    columns=ABLATION_CLAIMS.columns,
)
