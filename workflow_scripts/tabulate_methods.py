"""Write the table of methods, and its spread over seeds."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.methods import tabulate_methods

    job.run(tabulate_methods)
