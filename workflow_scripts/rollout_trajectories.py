"""Roll questions out at every dose, with the KL and the probes along the way."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.outcomes.trajectories import rollout_trajectories

    job.run(rollout_trajectories)
