"""The reference cohort: what the unsteered model writes on the study's questions, greedily and at temperature 1."""

import polars as pl

from steerdose.columns import Cell
from steerdose.declarations.passed import REFERENCE_TOKENS
from steerdose.engine.generate import generate
from steerdose.files import write_table
from steerdose.model.loading import load_model
from steerdose.outcomes.trajectories import requests_of
from steerdose.steering.intervention import UNSTEERED
from steerdose.study.rollout import Decoding
from steerdose.study.settings import RollReference
from steerdose.study.texts import load_questions

TYPES: dict[str, type[pl.DataType]] = {
    **{"decoding": pl.String, "prompt_id": pl.String, "sample": pl.Int32},
    **{"t": pl.Int32, "token_id": pl.Int32, "nll": pl.Float32},
}


def roll_reference(*, model: str, questions: str, cell: Cell, settings: RollReference, tokens: str) -> None:
    """Write every token of the reference cohort with its NLL."""
    loaded = load_model(model, settings.run)
    asked = load_questions(questions)[: settings.reference.n_questions]
    own = Decoding(temperature=1.0, top_p=1.0, n_samples=settings.reference.n_samples)  # the model's distribution
    requests = [
        request
        for question in asked  # the texts of a question side by side, so that a batch holds whole questions
        for decoding in (None, own)
        for request in requests_of(loaded.tokenizer, [question], [UNSTEERED], settings.template, decoding)
    ]
    batch_size = settings.reference.batch_size
    found = generate(loaded, requests, window=settings.window, batch_size=batch_size, description="reference")
    rows: list[tuple[object, ...]] = []
    for request, text in zip(requests, found, strict=True):
        place = ("sampled" if request.decoding else "greedy", request.prompt_id, request.sample)
        rows += [(*place, t, *each) for t, each in enumerate(zip(text.token_ids, text.nll, strict=True), start=1)]
    write_table(pl.DataFrame(rows, schema=TYPES, orient="row").with_columns(cell.columns()), tokens, REFERENCE_TOKENS)
