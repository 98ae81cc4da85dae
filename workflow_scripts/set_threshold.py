"""Write of each probe that is read in rollouts the threshold and the median that it is of."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.survival.thresholds import set_threshold

    job.run(set_threshold)
