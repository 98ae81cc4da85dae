"""Write the gain of every trajectory of a method."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.outcomes.relevance import score_relevance

    job.run(score_relevance)
