"""Write who is dead by the window at which dose, and lethal dose, steepness and safe dose."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.dose_response import tabulate_dose_response

    job.run(tabulate_dose_response)
