"""Write the comparisons of doses, and of the methods of each named set."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.logrank import tabulate_logrank

    job.run(tabulate_logrank)
