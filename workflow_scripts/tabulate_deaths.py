"""Write every trajectory with the history of its death by each endpoint, and the table of deaths."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.deaths import tabulate_deaths

    job.run(tabulate_deaths)
