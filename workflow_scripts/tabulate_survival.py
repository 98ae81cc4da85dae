"""Write what became of the trajectories of every method and dose, by every endpoint."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.survival import tabulate_survival

    job.run(tabulate_survival)
