"""Write every probe of every model, with the deaths that it sees."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.probes import tabulate_probes

    job.run(tabulate_probes)
