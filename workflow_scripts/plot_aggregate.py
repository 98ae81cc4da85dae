"""Draw `aggregate_figure` of the tokens and forks of all methods that have a place."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.aggregate import plot_aggregate

    job.run(plot_aggregate)
