"""Write the recommended dose of every method and sign, and the curves that it comes from."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.dose import tabulate_dose

    job.run(tabulate_dose)
