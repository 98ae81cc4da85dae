"""The table of the order of methods."""

from steerdose.declarations.base import Table, columns
from steerdose.declarations.shared import CELL, METHOD, SIGN

RANKING = Table(
    "ranking",
    rule="tabulate_ranking",
    path="results/tables/ranking",
    title="Ranking",
    row="a method, on one scale of dose",
    reading="Which methods bear more. Methods of group 1 bear more than all others, and so on; within a group nothing "
    "is said, and with one group nothing at all. Groups hold in the share of joint resamples of prompts, seeds and "
    "calibrations that support names. By alpha methods compare at the KL that was calibrated on other prompts; by "
    "delivered kl at the KL of these trajectories themselves. Where the two orders differ, the order by alpha is one "
    "of the calibration. All seeds of a method count together; with one seed nothing is known of others.",
    columns=(
        *CELL[:2],
        *SIGN,
        *columns("scale | text | | alpha: multiple of the calibrated coefficient; delivered_kl: nats of these texts"),
        *METHOD[3:],
        *columns("""
        seeds | integer | seeds | how many
        n_prompts | integer | prompts | at every dose and seed
        group | integer | | 1 bears the most
        ld50 | number | as scale | where half are dead; null: outside the doses tried
        ld50_low | number | as scale | lower bound, over joint resamples; null: open
        ld50_high | number | as scale | upper bound; null: open
        status | text | | of the LD50: inside the doses tried, above or below them
        support | number | share | of joint resamples in which all groups hold
        """),
    ),
)
