"""Write rollouts/{method}.{tokens,trajectories,forks}.parquet."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.outcomes.gather import gather_rollouts

    job.run(gather_rollouts)
