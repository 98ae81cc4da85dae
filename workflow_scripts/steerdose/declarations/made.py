"""Tables that steerings are made of."""

from steerdose.declarations.base import Table, columns
from steerdose.declarations.shared import CELL, METHOD, PROMPT

STUDY = "results/{model}/{behavior}/seed{seed}"
PAIRS = Table(
    "pairs",
    rule="generate_pairs",
    path=f"{STUDY}/pairs.parquet",
    row="a prompt and sample, answered under two opposite personas",
    columns=(
        *CELL,
        *PROMPT,
        *columns("""
        sample | integer | | of the prompt, from 0
        prompt | text | | the user's message
        category | text | | of the prompt
        persona_pos | text | | the positive persona
        persona_neg | text | | the negative persona
        response_pos | text | | answer under the positive persona
        response_neg | text | | answer under the negative persona
        """),
    ),
)
TRAINING = Table(
    "training",
    rule="train_adapter",
    path=f"{STUDY}/adapters/{{method}}.{{sign}}.training.parquet",
    row="a logged step of the training of one sign",
    columns=(
        *METHOD,
        *columns("""
        step | integer | steps | of the optimiser
        split | text | | train, or heldout
        loss | number | nats a token | cross-entropy of the responses
        sign | text | | positive or negative, the adapter's
        """),
    ),
)
