"""Write what every dose of every method changes on every task."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.effects import tabulate_effects

    job.run(tabulate_effects)
