"""Measure dose 1 on prompts that did not set it."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.dose.audit import audit_dose

    job.run(audit_dose)
