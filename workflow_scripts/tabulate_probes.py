"""Write the table of the probes, for figures and readers."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.probes import tabulate_probes

    job.run(tabulate_probes)
