"""Write what each statistic of KL sees of two simulated students and of this study's deaths."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.aggregation import tabulate_aggregation

    job.run(tabulate_aggregation)
