"""Write what made the results of the study, from the records that the jobs left."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.pages.provenance import write_provenance

    job.run(write_provenance)
