"""Write the page of one cell."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.pages.reading import write_reading

    job.run(write_reading)
