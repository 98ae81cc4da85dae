"""Write every token of the reference cohort with its NLL."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.outcomes.reference import roll_reference

    job.run(roll_reference)
