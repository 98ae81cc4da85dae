"""Write scores/{method}.{task}.parquet."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.outcomes.gather import gather_scores

    job.run(gather_scores)
