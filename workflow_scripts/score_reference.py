"""Write the gain of every text of the reference cohort."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.outcomes.relevance import score_reference

    job.run(score_reference)
