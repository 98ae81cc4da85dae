"""Roll a part of the questions out at all alphas of every method of a job, and write the three tables."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.outcomes.trajectories import rollout_trajectories

    job.run(rollout_trajectories)
