"""Put the parts of a method's rollouts together."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.outcomes.gather import gather_rollouts

    job.run(gather_rollouts)
