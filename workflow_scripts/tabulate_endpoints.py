"""Write lethal and safe doses by every endpoint, and the agreement of each two of them."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.endpoints import tabulate_endpoints

    job.run(tabulate_endpoints)
