"""Write how the hazard of death depends on dose and method."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.hazards import tabulate_hazards

    job.run(tabulate_hazards)
