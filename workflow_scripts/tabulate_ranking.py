"""Write which methods bear more than others, as far as that holds."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.ranking import tabulate_ranking

    job.run(tabulate_ranking)
