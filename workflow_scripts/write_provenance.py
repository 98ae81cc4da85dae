"""Write the page of all records in the page's folder and below, its head for the report, and the table of costs."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.pages.provenance import write_provenance

    job.run(write_provenance)
