"""Write a page of trajectories to read: the same questions unsteered, at dose 1 and at the first dying dose."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.pages.reading import write_reading

    job.run(write_reading)
