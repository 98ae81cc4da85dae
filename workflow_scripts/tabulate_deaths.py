"""Tabulate deaths by what broke and by the KL before them."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.deaths import tabulate_deaths

    job.run(tabulate_deaths)
