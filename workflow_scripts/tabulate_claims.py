"""Write what the study may claim."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.claims import tabulate_claims

    job.run(tabulate_claims)
