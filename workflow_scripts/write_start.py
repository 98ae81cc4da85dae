"""Write the recommended doses and the therapeutic figure as reStructuredText, for the report's first page."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.pages.start import write_start

    job.run(write_start)
