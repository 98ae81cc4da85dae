"""Write what every hypothesis recovers, of every seed and over all of them, the best ones of a target first."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.subspaces import tabulate_subspaces

    job.run(tabulate_subspaces)
