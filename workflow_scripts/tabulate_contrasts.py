"""Write what every method buys over all seeds, and the differences of every pair that is compared."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.contrasts import tabulate_contrasts

    job.run(tabulate_contrasts)
