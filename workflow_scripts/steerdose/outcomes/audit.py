"""The audit of the probes: an instrument that the unsteered model cannot answer measures nothing."""

import logging
from typing import Any

import polars as pl

from steerdose.errors import SteerdoseError
from steerdose.files import write_json, write_table
from steerdose.model.loading import load_model
from steerdose.outcomes.trajectories import fork_plan, roll_questions, to_tables
from steerdose.steering.intervention import UNSTEERED
from steerdose.study.texts import load_questions

log = logging.getLogger(__name__)


def audit_probe(
    *, model: str, questions: str, cell: dict[str, Any], settings: dict[str, Any], summary: str, forks: str
) -> None:
    """Measure all configured probes on the unsteered model, on the questions of the rollouts.

    Writes the forks, and a summary by probe: `median_pmass` over all prompts and forks, and the other columns of
    `audit_rows`. Raises SteerdoseError where a probe that is read in rollouts has a median below `minimum_base_pmass`,
    or where all answers are empty.
    """
    loaded = load_model(model, dtype=settings["dtype"], device=settings["device"])
    chosen = load_questions(questions)[: settings["n_questions"]]
    requests, trajectories = roll_questions(loaded, chosen, [UNSTEERED], settings)
    pairs = list(zip(requests, trajectories, strict=True))
    empty = [request.prompt_id for request, trajectory in pairs if not trajectory.token_ids]
    if empty:
        raise SteerdoseError(
            f"the unsteered model gives an empty answer to {empty[:5]} ({len(empty)} of {len(requests)}): check "
            "rollout.template, and models.<name>.chat_template against the model's own documentation"
        )
    plan = fork_plan(loaded.tokenizer, settings)
    answers = {name: {*probe.first, *probe.second} for name, probe in plan.probes.items()}
    frame = to_tables(loaded.tokenizer, requests, trajectories, cell)["forks"].with_columns(
        is_answer=pl.Series([fork.argmax in answers[fork.probe] for found in trajectories for fork in found.forks])
    )
    rows = audit_rows(frame, {question.id: question.answer for question in chosen})
    found = {row.pop("probe"): row for row in rows.iter_rows(named=True)}
    for name, row in found.items():
        row["passes"] = row["median_pmass"] >= settings["minimum_base_pmass"]
        row["rolled_out"] = name in settings["rolled_out"]
        row["decides"] = name == settings["rolled_out"][0]
        log.info("median pmass of the unsteered model on %s: %.4f", name, row["median_pmass"])
    _check_medians(frame, {name: row["median_pmass"] for name, row in found.items()}, settings)
    write_table(frame, forks)
    write_json(found, summary)


def _check_medians(forks: pl.DataFrame, medians: dict[str, float], settings: dict[str, Any]) -> None:
    """Raise SteerdoseError where a probe that is read in rollouts fails; name what the model says instead."""
    minimum = settings["minimum_base_pmass"]
    passing = {name: median for name, median in medians.items() if median >= minimum}
    for name in settings["rolled_out"]:
        if name not in passing:
            tokens = forks.filter(probe=name)["argmax"].value_counts(sort=True).head(5)
            likely = ", ".join(f"'{token}' {n}x" for token, n in tokens.iter_rows())
            others = ", ".join(f"{other} ({median:.4f})" for other, median in passing.items()) or "none"
            raise SteerdoseError(
                f"the unsteered model fails the probe {name}: its median pmass on "
                f"{settings['probes'][name]['answers']} is {medians[name]:.4f}, survival.minimum_base_pmass is "
                f"{minimum}. The most likely next tokens are {likely}. Configured probes that pass: {others}. Name one "
                f"of these in rollout.probes, or change question, prefill or answers of probes.{name} so that the "
                "model answers with one of them"
            )


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
