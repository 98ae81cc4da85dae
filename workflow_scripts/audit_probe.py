"""Measure the probes on the unsteered model."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.outcomes.audit import audit_probe

    audit_probe(
        model=job.input.model,
        questions=job.input.questions,
        cell=job.cell,
        settings=job.settings,
        summary=job.output.summary,
        forks=job.output.forks,
    )
