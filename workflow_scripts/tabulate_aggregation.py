"""Compare the statistics of KL, on simulated students and on the study's rollouts."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.aggregation import tabulate_aggregation

    job.run(tabulate_aggregation)
