"""Score a task at every dose."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.outcomes.scores import score_task

    job.run(score_task)
