"""The audit of the probes: an instrument that the unsteered model cannot answer measures nothing."""

import logging
from typing import Any

import polars as pl

from steerdose.declarations.passed import AUDIT_FORKS
from steerdose.errors import SteerdoseError
from steerdose.files import write_json, write_table
from steerdose.model.loading import load_model
from steerdose.outcomes.trajectories import fork_plan, roll_questions, to_tables
from steerdose.study.texts import load_questions

log = logging.getLogger(__name__)


def audit_probe(
    *, model: str, questions: str, cell: dict[str, Any], settings: dict[str, Any], summary: str, forks: str
) -> None:
    """Measure all configured probes on the unsteered model, on the questions of the rollouts.

    Writes the forks, and a summary by probe: `median_pmass` over all prompts and forks, the other columns of
    `audit_rows`, and `likely`, the most likely next tokens with their counts. Raises SteerdoseError where all answers
    are empty.
    """
    loaded = load_model(model, dtype=settings["dtype"], device=settings["device"])
    chosen = load_questions(questions)[: settings["n_questions"]]
    planned, rollouts = roll_questions(loaded, None, chosen, [(0.0, 0.0)], settings)
    empty = [
        request.prompt_id for (_, request), rollout in zip(planned, rollouts, strict=True) if not rollout.token_ids
    ]
    if empty:
        raise SteerdoseError(
            f"the unsteered model gives an empty answer to {empty[:5]} ({len(empty)} of {len(planned)}): check "
            "rollout.template, and models.<name>.chat_template against the model's own documentation"
        )
    plan = fork_plan(loaded.tokenizer, settings)
    answers = {name: {*probe.first, *probe.second} for name, probe in plan.probes.items()}
    frame = to_tables(loaded.tokenizer, planned, rollouts, cell)["forks"].with_columns(
        is_answer=pl.Series([fork.argmax in answers[fork.probe] for rollout in rollouts for fork in rollout.forks])
    )
    rows = audit_rows(frame, {question.id: question.answer for question in chosen})
    found = {row.pop("probe"): row for row in rows.iter_rows(named=True)}
    for name, row in found.items():
        tokens = frame.filter(probe=name).group_by("argmax", maintain_order=True).len()
        likely = tokens.sort("len", descending=True, maintain_order=True).head(5)
        row["likely"] = [list(each) for each in likely.iter_rows()]
        log.info("median pmass of the unsteered model on %s: %.4f", name, row["median_pmass"])
    write_table(frame, forks, AUDIT_FORKS)
    write_json(found, summary)


def audit_rows(forks: pl.DataFrame, truths: dict[str, bool]) -> pl.DataFrame:
    """Return a row a probe, over all prompts and forks of the unsteered model, in the order of the forks.

    forks: probe, prompt_id, t, pmass, p_first, is_answer (whether the most likely next token is an answer). truths: by
    prompt. Columns: probe, n_questions, n_forks, median_pmass, min_pmass, q05_pmass, q25_pmass, q75_pmass, pmass_at_0
    (median at t = 0), argmax_share (of forks whose most likely next token is an answer), accuracy (share of forks
    where p_first is on the true answer's side of 1/2).
    """
    pmass, truth = pl.col("pmass"), pl.DataFrame({"prompt_id": list(truths), "truth": list(truths.values())})
    return (
        forks.join(truth, on="prompt_id", maintain_order="left")
        .group_by("probe", maintain_order=True)
        .agg(
            pl.n_unique("prompt_id").alias("n_questions"),
            pl.len().alias("n_forks"),
            pmass.median().alias("median_pmass"),
            pmass.min().alias("min_pmass"),
            *[pmass.quantile(q / 100, "linear").alias(f"q{q:02}_pmass") for q in (5, 25, 75)],
            pmass.filter(pl.col("t") == 0).median().alias("pmass_at_0"),
            pl.mean("is_answer").alias("argmax_share"),
            ((pl.col("p_first") > 0.5) == pl.col("truth")).mean().alias("accuracy"),
        )
    )
