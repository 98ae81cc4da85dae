"""Draw what each statistic of KL sees."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.aggregation import plot_aggregation

    job.run(plot_aggregation)
