"""The audit of the probes: an instrument that the unsteered model cannot answer measures nothing."""

import logging

import polars as pl

from steerdose.columns import Cell
from steerdose.declarations.passed import AUDIT_FORKS
from steerdose.engine.probe import READINGS
from steerdose.errors import SteerdoseError
from steerdose.files import write_json, write_table
from steerdose.model.loading import load_model
from steerdose.outcomes.trajectories import fork_plan, requests_of, roll_out, to_tables
from steerdose.steering.intervention import UNSTEERED
from steerdose.study.settings import AuditProbe
from steerdose.study.texts import load_questions

log = logging.getLogger(__name__)


def audit_probe(*, model: str, questions: str, cell: Cell, settings: AuditProbe, summary: str, forks: str) -> None:
    """Measure probes on the unsteered model, on the questions of the rollouts.

    Writes the forks, and a summary by probe: `median_pmass` over all prompts and forks, and the other columns of
    `audit_rows`; empty where there is no probe to measure. Raises SteerdoseError where answers are empty.
    """
    options = settings.trajectories
    loaded = load_model(model, dtype=settings.run.dtype, device=settings.run.device)
    chosen = load_questions(questions)[: options.n_questions]
    plan = fork_plan(loaded.tokenizer, settings.probes, options, READINGS[:1])
    requests = requests_of(loaded.tokenizer, chosen if settings.probes else [], [UNSTEERED], options.template)
    trajectories = roll_out(loaded, requests, options, plan)
    pairs = list(zip(requests, trajectories, strict=True))
    empty = [request.prompt_id for request, trajectory in pairs if not trajectory.token_ids]
    if empty:
        raise SteerdoseError(
            f"the unsteered model gives an empty answer to {empty[:5]} ({len(empty)} of {len(requests)}): check "
            "rollout.template, and models.<name>.chat_template against the model's own documentation"
        )
    answers = {name: {*probe.first, *probe.second} for name, probe in plan.probes.items()}
    marks = [fork.argmax in answers[fork.probe] for found in trajectories for fork in found.forks]
    frame = to_tables(loaded.tokenizer, requests, trajectories, cell)["forks"].with_columns(
        is_answer=pl.Series(marks, dtype=pl.Boolean)
    )
    rows = audit_rows(frame, {question.id: question.answer for question in chosen})
    found = {row.pop("probe"): row for row in rows.iter_rows(named=True)}
    for name, row in found.items():
        row["likely"] = [
            list(each) for each in frame.filter(probe=name)["argmax"].value_counts(sort=True).head(5).rows()
        ]
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
