"""Set the pmass of each probe under which a trajectory counts as dead."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.survival.thresholds import set_threshold

    job.run(set_threshold)
