"""Write the share of irrelevant texts of every method and dose."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.relevance import tabulate_relevance

    job.run(tabulate_relevance)
