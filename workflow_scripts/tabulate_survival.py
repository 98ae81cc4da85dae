"""Write how long the trajectories of every method and dose can still answer."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.survival import tabulate_survival

    job.run(tabulate_survival)
