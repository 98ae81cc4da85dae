"""Measure probes on the unsteered model, on the questions of the rollouts."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.outcomes.audit import audit_probe

    job.run(audit_probe)
