"""Score a part of a task's items at all alphas of every method of a job, and write a row a metric."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.outcomes.scores import score_task

    job.run(score_task)
