"""Write how much of every effect a random push of the same KL has too."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.effects import tabulate_specificity

    job.run(tabulate_specificity)
