"""Draw `spaghetti_figure` of the tokens of all methods that have a place."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.spaghetti import plot_spaghetti

    job.run(plot_spaghetti)
