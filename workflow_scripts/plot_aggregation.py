"""Draw `aggregation_figure` of the table of the statistics of KL."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.aggregation import plot_aggregation

    job.run(plot_aggregation)
