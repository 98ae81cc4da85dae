"""The audit of the probes: an instrument that the unsteered model cannot answer measures nothing."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from steerdose.columns import Cell
from steerdose.declarations.passed import AUDIT_FORKS
from steerdose.engine.generate import generate
from steerdose.engine.probe import READINGS, Probe
from steerdose.engine.requests import Request
from steerdose.engine.score import Item, score
from steerdose.errors import SteerdoseError
from steerdose.files import write_json, write_table
from steerdose.model import chat
from steerdose.model.loading import LoadedModel, load_model
from steerdose.outcomes.garbage import garbage_readings, validity
from steerdose.outcomes.shares import share_interval
from steerdose.outcomes.text import text_measures
from steerdose.outcomes.trajectories import fork_plan, requests_of, roll_out, to_tables
from steerdose.steering.intervention import UNSTEERED
from steerdose.study.probes import truths_of
from steerdose.study.settings import AuditProbe
from steerdose.study.texts import load_questions

log = logging.getLogger(__name__)

AUDITED = 12  # prompts that garbage is made of
CONTINUED = 6  # tokens
PLAIN_TEXT = (
    "The garden behind the house was small, but it had everything that a family needed. In the spring they planted "
    "potatoes, beans and lettuce, and in the summer the children picked strawberries before breakfast. An old apple "
    "tree stood near the wall. It gave more fruit than they could eat, so in the autumn they made juice and gave the "
    "rest to the neighbors. When the snow came, the birds found seeds on the window sill, and everyone waited for the "
    "days to grow longer again."
)


def audit_probe(
    *, model: str, questions: str, cell: Cell, settings: AuditProbe, summary: str, forks: str, texts: str
) -> None:
    """Measure probes on the unsteered model, on the questions of the rollouts.

    Writes the forks, `text_health`, and a summary by probe: `median_pmass` over all prompts and forks, and the other
    columns of `audit_rows`; empty where there is no probe to measure. Raises SteerdoseError where answers are empty.
    """
    options = settings.trajectories
    loaded = load_model(model, settings.run)
    every = load_questions(questions)
    chosen = every[: options.n_questions]
    plan = fork_plan(loaded.tokenizer, settings.probes, every, options, READINGS[:1])
    requests = requests_of(loaded.tokenizer, chosen if settings.probes else [], [UNSTEERED], options.template)
    trajectories = roll_out(loaded, requests, options, plan)
    pairs = list(zip(requests, trajectories, strict=True))
    empty = [request.prompt_id for request, trajectory in pairs if not trajectory.token_ids]
    if empty:
        raise SteerdoseError(
            f"the unsteered model gives an empty answer to {empty[:5]} ({len(empty)} of {len(requests)}): check "
            "rollout.template, and models.<name>.chat_template against the model's own documentation"
        )
    frame = to_tables(loaded.tokenizer, requests, trajectories, cell)["forks"]
    rows = audit_rows(frame, {name: truths_of(probe.kind, every) for name, probe in settings.probes.items()})
    found = {row.pop("probe"): row for row in rows.iter_rows(named=True)}
    written = [trajectory.token_ids[: options.window // 2] for trajectory in trajectories]
    for name, row in found.items():
        probe = plan.probes[name]
        row |= validity(garbage_readings(loaded, probe, requests[:AUDITED], written[:AUDITED]))
        row |= {"continues": continuations(loaded, probe, requests, written)}
        tokens = frame.filter(probe=name).group_by("argmax", maintain_order=True).len()
        row["likely"] = [list(each) for each in tokens.sort("len", descending=True, maintain_order=True).head(5).rows()]
        log.info("median pmass of the unsteered model on %s: %.4f", name, row["median_pmass"])
    write_table(frame, forks, AUDIT_FORKS)
    write_json(found, summary)
    write_json(text_health(loaded, [np.array(each.token_ids) for each in trajectories]), texts)


def continuations(
    loaded: LoadedModel, probe: Probe, requests: Sequence[Request], texts: Sequence[Sequence[int]]
) -> float:
    """Return the share of prompts behind which the greedy continuation of the probe is one answer, and not both.

    A model that copies ` true or false` from the question puts all its mass on an answer, and gives none.
    """
    asked = []
    for request, text in zip(requests, texts, strict=True):
        before = (*request.ids, *text)
        asked.append(replace(request, ids=(*before, *probe.of(request.prompt_id).suffix_behind(before))))
    found = generate(loaded, asked, window=CONTINUED, batch_size=len(asked), description="continuations")
    said = [loaded.tokenizer.decode(each.token_ids).casefold() for each in found]
    answers = [probe.of(request.prompt_id).answers for request in requests]
    one = [sum(each.casefold() in text for each in both) == 1 for both, text in zip(answers, said, strict=True)]
    return sum(one) / len(one)


def text_health(loaded: LoadedModel, texts: Sequence[np.ndarray]) -> dict[str, float | None]:
    """Return how the unsteered model writes and reads, as far as that tells whether it is prompted rightly.

    median_rep_4: over its own texts, the share of repeated 4-grams. nll_plain: nats a token of a plain text behind the
    tokenizer's own beginning, nll_chat: of the same as an answer behind a rendered prompt. Where that prompt lacks what
    the model was trained with, such as its beginning-of-sequence token, texts loop and nll_chat is far above nll_plain.
    """
    measured = text_measures(texts, [np.array([len(text)]) for text in texts])["rep_4"]
    text = chat.encode(loaded.tokenizer, PLAIN_TEXT)
    alone = loaded.tokenizer(PLAIN_TEXT).input_ids
    answer = [*chat.prompt_ids(loaded.tokenizer, chat.conversation("Tell me about a garden.")), *text]
    items = [Item(name, {None: tuple(ids)}, n_scored=len(text) - 1) for name, ids in (("a", alone), ("b", answer))]
    plain, behind = (score(loaded, [UNSTEERED], [item], batch_rows=1)[0][0] for item in items)
    assert plain and behind  # unsteered logits that are not finite raise
    return {
        "median_rep_4": float(np.nanmedian(measured)) if np.isfinite(measured).any() else None,
        "nll_plain": -float(np.mean(plain.tokens)),
        "nll_chat": -float(np.mean(behind.tokens)),
    }


def audit_rows(forks: pl.DataFrame, truths: Mapping[str, Mapping[str, bool]]) -> pl.DataFrame:
    """Return a row a probe, over all prompts and forks of the unsteered model, in the order of the forks.

    forks: probe, prompt_id, t, pmass, p_first, is_answer (whether the most likely next token is an answer). truths: by
    probe and prompt. Columns: probe, n_questions, n_forks, median_pmass, min_pmass, q05_pmass, q25_pmass, q75_pmass,
    pmass_at_0 (median at t = 0), argmax_share (of forks whose most likely next token is an answer), accuracy (share of
    forks where p_first is on the right answer's side of 1/2), accuracy_low, accuracy_high (95 %, by prompt), lean
    (share of forks where p_first is above 1/2), truths (share of questions whose answer is the first one).
    """
    pmass = pl.col("pmass")
    known = [(probe, prompt, truth) for probe, own in truths.items() for prompt, truth in own.items()]
    truth = pl.DataFrame(known, {"probe": pl.String, "prompt_id": pl.String, "truth": pl.Boolean}, orient="row")
    right = (pl.col("p_first") > 0.5) == pl.col("truth")
    table = (
        forks.join(truth, on=["probe", "prompt_id"], maintain_order="left")
        .with_columns(right.alias("right"))
        .group_by("probe", maintain_order=True)
        .agg(
            pl.n_unique("prompt_id").alias("n_questions"),
            pl.len().alias("n_forks"),
            pmass.median().alias("median_pmass"),
            pmass.min().alias("min_pmass"),
            *[pmass.quantile(q / 100, "linear").alias(f"q{q:02}_pmass") for q in (5, 25, 75)],
            pmass.filter(pl.col("t") == 0).median().alias("pmass_at_0"),
            pl.mean("is_answer").alias("argmax_share"),
            pl.mean("right").alias("accuracy"),
            (pl.col("p_first") > 0.5).mean().alias("lean"),
            pl.mean("truth").alias("truths"),
            pl.col("right", "prompt_id"),
        )
    )
    marked = table.select("right", "prompt_id").iter_rows()
    bounds = [share_interval(np.array(marks), np.array(prompts), 0.95) for marks, prompts in marked]
    low, high = zip(*bounds, strict=True) if bounds else ((), ())
    limits = [pl.Series("accuracy_low", low, pl.Float64), pl.Series("accuracy_high", high, pl.Float64)]
    return table.drop("right", "prompt_id").with_columns(limits)
